"""Whom a fault strikes: somebody who has work, while there is one. The processes are stand-ins."""

from __future__ import annotations

import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chaos.counters import ISLANDS, WOKE_ELSEWHERE
from chaos.faults import FAULTS
from chaos.history import Memory
from chaos.oracle import judge
from chaos.plans import ROUNDS, SHORT
from chaos.record import PLANE, Promises
from chaos.rounds import Round
from chaos.site import Site, connected_to
from taskrun.domain.records import TaskQuery
from taskrun.domain.status import TaskStatus

#: Where each worker of the stand-in is.
WHERE = {"a": "plane-0", "b": "plane-1", "c": "plane-1", "d": "plane-2"}


class StandIn:
    """A site of four control planes and four workers, of which some have so many runs."""

    def __init__(self, **runs: int) -> None:
        self.history = Memory(lambda: 0.0)
        self.planes = {name: self._program(name) for name in ("plane-0", "plane-1", "plane-2", "plane-3")}
        self.workers = {name: self._program(name) for name in WHERE}
        self.line = self
        self.on_asked: Callable[[], object] = lambda: None
        self.running = [_running(worker) for worker, count in runs.items() for _ in range(count)]

    def _program(self, name: str) -> SimpleNamespace:
        told: list[signal.Signals] = []
        calls = {"kill": self._nothing, "start": self._nothing, "is_frozen": lambda: True, "tell": told.append}
        return SimpleNamespace(name=name, told=told, **calls)

    async def _nothing(self, *_: object) -> None:
        pass

    start_plane = workers_are_here = _nothing

    def workers_of(self, plane: SimpleNamespace) -> list[str]:
        return [worker for worker, where in WHERE.items() if where == plane.name]

    def plane_of(self, worker: SimpleNamespace) -> SimpleNamespace:
        return self.planes[WHERE[worker.name]]

    async def ask(self, call: Callable[[Any], Awaitable[Any]]) -> Any:
        return await call(SimpleNamespace(find=self._find))

    async def _find(self, query: TaskQuery) -> SimpleNamespace:
        assert query.status is TaskStatus.RUNNING
        self.on_asked()
        return SimpleNamespace(tasks=list(self.running))


def _running(worker: str) -> SimpleNamespace:
    """A task whose first run was at another worker."""
    return SimpleNamespace(runs=[SimpleNamespace(worker_id=another) for another in ("d", worker)])


async def struck(fault: str, **runs: int) -> set[Any]:
    """Who is, in many trials."""
    site = StandIn(**runs)
    for seed in range(50):
        await FAULTS[fault](cast(Site, site), Random(seed), (0.0, 0.0))
    return {event["target"] for event in site.history.events}


async def test_a_control_plane_is_killed_whose_workers_have_runs() -> None:
    assert await struck("kill: control plane", a=1, c=3) == {"plane-0", "plane-1"}


async def test_it_is_told_which_workers_lose_it() -> None:
    site = StandIn(c=1)
    await FAULTS["kill: control plane"](cast(Site, site), Random(1), (0.0, 0.0))
    assert site.history.events[0]["workers"] == ["b", "c"]


async def test_the_worker_is_killed_that_has_most_runs() -> None:
    assert await struck("kill: worker", b=2, d=7, a=6) == {"d"}


async def test_a_worker_is_frozen_past_the_grace_until_nothing_of_it_runs() -> None:
    site = StandIn(b=2)
    told: list[tuple[signal.Signals, int]] = []
    site.workers["b"].tell = lambda number: told.append((number, len(site.running)))
    site.on_asked = lambda: told and site.running.pop()
    await FAULTS["freeze past the grace: worker"](cast(Site, site), Random(1), (0.0, 0.0))
    assert told == [(signal.SIGSTOP, 2), (signal.SIGCONT, 0)]


async def test_its_control_plane_is_killed_meanwhile() -> None:
    site = StandIn(b=1)
    site.on_asked = lambda: site.workers["b"].told and site.running.pop()
    await FAULTS["freeze past the grace: worker"](cast(Site, site), Random(1), (0.0, 0.0))
    story = [(event["what"], event["fault"], event["target"]) for event in site.history.events]
    assert story == [
        ("fault", "freeze past the grace", "b"),
        ("fault", "kill", "plane-1"),
        ("fault over", "kill", "plane-1"),
        ("fault over", "freeze past the grace", "b"),
    ]


def test_the_workers_of_several_control_planes_are_struck_too() -> None:
    replicas = ROUNDS["replicas"]
    assert isinstance(replicas, Round)
    assert replicas.planned().keys() >= {"kill: worker", "freeze past the grace: worker", ISLANDS, WOKE_ELSEWHERE}


@pytest.mark.parametrize("name", [name for name, round in ROUNDS.items() if isinstance(round, Round)] + ["short"])
def test_a_round_whose_faults_meet_nobody_proves_nothing(name: str) -> None:
    round = {**ROUNDS, "short": SHORT}[name]
    assert isinstance(round, Round)
    kind, count = max(round.faults.items(), key=lambda item: item[1])
    what, target = kind.split(": ")
    target = PLANE if target == "control plane" else "one"
    events = [{"at": 1.0, "what": "fault", "fault": what, "target": target}] * count
    void = judge(events, Promises(resume=90), round.planned()).void
    assert f"{kind}, and met a run: 0 of {int(0.8 * count)}" in void
    assert not any(why.startswith(f"{kind}:") for why in void)


@pytest.mark.parametrize(
    ("said", "where"),
    [
        ([], ""),
        ([("connected", "one")], "one"),
        ([("connected", "one"), ("the link is lost: cut", None)], ""),
        ([("connected", "one"), ("the link is lost: cut", None), ("connected", "two")], "two"),
        ([("connected", "one"), ("working for one, two", None)], ""),
    ],
    ids=["silent", "here", "cut off", "elsewhere", "begun again"],
)
def test_a_worker_is_where_its_log_says_last(said: list[tuple[str, str | None]], where: str, tmp_path: Path) -> None:
    lines = [json.dumps({"message": message} | ({"to": to} if to else {})) for message, to in said]
    log = tmp_path / "worker.log"
    log.write_text("".join(f"{line}\n" for line in lines))
    assert connected_to(log) == where
