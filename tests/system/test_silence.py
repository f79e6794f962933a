"""Peers that fall silent without a word: frozen processes and black-holed connections."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from taskrun.domain.records import Task
from taskrun.domain.status import FailureKind, TaskStatus
from tests.proxy import Proxy
from tests.system.site import Site, soon

#: Promised: seconds after which a peer that is frozen or cut off is noticed; and what this machine's noise may add.
NOTICED_WITHIN, NOISE = 15.0, 3.0


@dataclass(frozen=True, slots=True)
class Story:
    """What became of two tasks whose workers fell silent at the same moment, and of the workers."""

    #: Seconds until the control plane gave the task to another.
    frozen_noticed: float
    cut_off_noticed: float
    #: Seconds until the worker itself noticed.
    cut_off_worker_noticed: float
    #: The tasks at their ends, after their first workers had come back.
    frozen: Task
    cut_off: Task


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """One story for all tests: silence takes its time."""
    directory = tmp_path_factory.mktemp("silence")
    gate = directory / "gate"
    with Site(directory) as site:
        site.start_plane("--worker-grace", "1s")
        with Proxy(site.grpc_port) as proxy:
            # Of these two each task goes to the one that has nothing to do.
            frozen_worker = site.start_worker("frozen")
            frozen = site.begin(gate)
            cut_off_worker = site.start_worker("cut-off", addr=proxy.addr)
            cut_off = site.begin(gate)
            site.start_worker("other")

            frozen_worker.tell(signal.SIGSTOP)
            proxy.hold()
            frozen_noticed, cut_off_noticed, worker_noticed = first_times(
                lambda: site.last_worker(frozen.id) == "other",
                lambda: site.last_worker(cut_off.id) == "other",
                lambda: "the link is lost" in cut_off_worker.log,
            )
            frozen_worker.tell(signal.SIGCONT)
            proxy.forward()
            soon(lambda: {"frozen", "cut-off"} <= set(site.worker_ids()))
            gate.touch()
            ends = site.end_of(frozen.id), site.end_of(cut_off.id)
            return Story(frozen_noticed, cut_off_noticed, worker_noticed, *ends)


def first_times(*checks: Callable[[], bool]) -> list[float]:
    """After how many seconds each of these came about."""
    began = time.monotonic()
    seconds: dict[int, float] = {}

    def all_came_about() -> bool:
        for index, check in enumerate(checks):
            if index not in seconds and check():
                seconds[index] = time.monotonic() - began
        return len(seconds) == len(checks)

    soon(all_came_about)
    return [seconds[index] for index in range(len(checks))]


def test_a_frozen_worker_is_noticed_and_its_task_goes_to_another(story: Story) -> None:
    assert story.frozen_noticed < NOTICED_WITHIN + NOISE


def test_a_worker_behind_a_black_hole_is_noticed_and_its_task_goes_to_another(story: Story) -> None:
    assert story.cut_off_noticed < NOTICED_WITHIN + NOISE


def test_a_worker_notices_that_its_control_plane_is_behind_a_black_hole(story: Story) -> None:
    assert story.cut_off_worker_noticed < NOTICED_WITHIN + NOISE


def test_what_a_thawed_worker_still_has_to_say_changes_nothing(story: Story) -> None:
    assert_done_by_the_other(story.frozen, "frozen")


def test_what_a_worker_still_has_to_say_after_a_black_hole_changes_nothing(story: Story) -> None:
    assert_done_by_the_other(story.cut_off, "cut-off")


def assert_done_by_the_other(task: Task, first: str) -> None:
    assert task.status is TaskStatus.COMPLETED
    assert [(run.worker_id, run.failure) for run in task.runs] == [(first, FailureKind.WORKER_LOST), ("other", None)]


def test_a_control_plane_that_was_frozen_for_a_few_seconds_goes_on_as_if_nothing_had_been(
    site: Site, gate: Path
) -> None:
    site.start_worker("one")
    task = site.begin(gate)
    site.plane.tell(signal.SIGSTOP)
    gate.touch()
    # Long enough for the worker to report into the silence, short of its losing patience.
    time.sleep(4)
    site.plane.tell(signal.SIGCONT)
    done = site.end_of(task.id)
    assert (done.status, len(done.runs)) == (TaskStatus.COMPLETED, 1)
