"""A round: a load, faults that strike it, and what the oracle says of it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random

from chaos.clients import Clients
from chaos.counters import ACKNOWLEDGED, met
from chaos.disk import MIB, NotPossible, SmallDisk
from chaos.faults import FAULTS, Range
from chaos.oracle import Finding, Verdict, judge
from chaos.record import Promises
from chaos.site import Broken, Site, Timers, leftovers
from chaos.speech import Speech
from taskrun.testing.postgres_server import PostgresServer, programs

#: Seconds in which all has to come to its end once the faults are over.
_PATIENCE = 180.0
#: The part of the faults of each kind that has to meet a run. Who has one is asked before the fault, and chosen; what
#: is chosen may have ended when the fault comes.
_SHARE = 0.8
#: Seconds over which the tasks come that are created with a fault.
_SPREAD = 0.5
#: Seconds that a watcher rests after whatever it reads: most do not.
_PACES = (0.0, 0.0, 0.1)


@dataclass(frozen=True, slots=True)
class Round:
    """What is done to how much."""

    name: str
    #: How often each of `FAULTS`.
    faults: Mapping[str, int]
    tasks: int
    #: What has to be counted besides, so that the round proves something.
    proof: Mapping[str, int] = field(default_factory=dict)
    workers: int = 4
    #: Several have one PostgreSQL, and one has a SQLite of its own.
    planes: int = 1
    timers: Timers = field(default_factory=Timers)
    #: Seconds between two faults, and how long one lasts.
    gap: Range = (0.3, 2.0)
    length: Range = (0.0, 1.0)
    attempts: int = 3
    #: Seconds that agents take at most.
    longest: float = 4.0
    #: Bytes of the disk that the control plane has; 0 is the one that is here.
    disk: int = 0
    #: Further arguments of the control plane.
    plane: tuple[str, ...] = ()
    #: Shares of the tasks.
    programs: float = 0.1
    watched: float = 0.1
    cancelled: float = 0.1
    load: type[Load] = field(default_factory=lambda: Load)

    def scaled(self, by: float) -> Round:
        """With so much of everything, and at least one of each."""
        faults = {name: max(1, round(count * by)) for name, count in self.faults.items()}
        return replace(self, faults=faults, tasks=max(min(20, self.tasks), round(self.tasks * by)))

    def planned(self) -> dict[str, int]:
        """What has to be counted, so that it proves something."""
        meet = {met(fault): int(_SHARE * count) for fault, count in self.faults.items()}
        return {**self.faults, **meet, **self.proof, ACKNOWLEDGED: self.tasks}

    async def play(self, seed: int, directory: Path) -> Verdict:
        """Plays it in an empty directory, which keeps the history and the logs. Raises `NotPossible`."""
        random = Random(f"{seed} {self.name}")
        with ExitStack() as stack:
            disk = stack.enter_context(SmallDisk(directory / "disk", self.disk)) if self.disk else None
            plane = (*self.plane, *(stack.enter_context(_shared(self.timers)) if self.planes > 1 else ()))
            site = Site(
                directory,
                random,
                workers=self.workers,
                timers=self.timers,
                disk=disk,
                plane=plane,
                planes=self.planes,
            )
            broken: list[Finding] = []
            async with site:
                try:
                    await _play(self, site, random)
                except Broken as error:
                    broken.append(Finding("unexpected", "process", str(error)))
                history = site.history.read()
        verdict = judge(history, Promises(resume=self.timers.resume), self.planned())
        return replace(verdict, findings=[*broken, *verdict.findings])


@contextmanager
def _shared(timers: Timers) -> Iterator[tuple[str, ...]]:
    """What several control planes are told beside what one is: where their store is, and how long one may be silent."""
    if programs() is None:
        raise NotPossible("PostgreSQL is not installed")
    with closing(PostgresServer()) as server:
        yield ("--store", server.url(), "--lease", str(timers.lease))


async def _play(round: Round, site: Site, random: Random) -> None:
    clients = Clients(site.line, site.history)
    progress = Progress(sum(round.faults.values()))
    strikes = asyncio.create_task(_strike(round, site, random, progress))
    load = asyncio.create_task(round.load(round, clients, Random(random.random()), progress).run())
    try:
        await strikes
        # Whoever waits in vain is in the history, as one that nobody answers.
        await asyncio.wait([load], timeout=_PATIENCE)
        await settle(site, clients)
    finally:
        for task in (strikes, load):
            task.cancel()
        await asyncio.gather(strikes, load, return_exceptions=True)


async def settle(site: Site, clients: Clients) -> None:
    """Everything comes to its end, and what it came to is written down."""
    if not await clients.all_ended(_PATIENCE):
        print(f"not all tasks ended within {_PATIENCE:g} s", file=sys.stderr)
    await clients.portray()
    await asyncio.sleep(Promises(resume=0).orphan)
    site.note_connections()
    ours = {event["run"] for event in site.history.read() if event["what"] == "began"}
    for run, processes in leftovers(ours).items():
        site.history.add("leftover", run=run, processes=processes)


class Progress:
    """How many of the faults have begun and are over: the load keeps step, so that each meets its part of it."""

    def __init__(self, faults: int) -> None:
        self._steps, self._done = 2 * faults, 0
        self._moved = asyncio.Event()

    def step(self) -> None:
        """A fault begins, or is over."""
        self._done += 1
        self._moved.set()

    async def reach(self, share: float) -> None:
        """Returns when it is time for this share of the load. Some comes before the first fault."""
        while self._done < self._steps and (self._done + 1) / (self._steps + 1) < share:
            self._moved.clear()
            await self._moved.wait()


async def _strike(round: Round, site: Site, random: Random, progress: Progress) -> None:
    order = [name for name, count in round.faults.items() for _ in range(count)]
    random.shuffle(order)
    for name in order:
        await asyncio.sleep(random.uniform(*round.gap))
        progress.step()
        await FAULTS[name](site, random, round.length)
        progress.step()


class Load:
    """Clients that create the round's tasks, watch some, and cancel some."""

    def __init__(self, round: Round, clients: Clients, random: Random, progress: Progress, at_once: int = 32) -> None:
        self._round, self._clients, self._random, self._progress = round, clients, random, progress
        self._at_once = at_once
        self._others: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Returns when all are created, and all watchers and cancellers are done."""
        numbers = iter(range(self._round.tasks))

        async def loop() -> None:
            for number in numbers:
                await self._progress.reach(number / self._round.tasks)
                await self._one(number)

        await asyncio.gather(*(loop() for _ in range(self._at_once)))
        await asyncio.gather(*self._others)

    async def _one(self, number: int) -> None:
        random, round = self._random, self._round
        agent = "shout" if random.random() < round.programs else "say"
        pause = random.choice([0.0, 0.02, 0.05])
        lines = int(random.uniform(0, round.longest) / pause) if pause else random.randrange(200)
        speech = Speech(number, lines, random.randrange(200), pause)
        pace = random.choice(_PACES)
        watched, cancelled = random.random() < round.watched, random.random() < round.cancelled
        delay = random.uniform(0, round.longest)
        # Not all that wait for a fault come in the moment in which it begins.
        await asyncio.sleep(random.uniform(0, _SPREAD))
        task_id = await self._clients.create(agent, speech, round.attempts)
        if watched:
            self._others.append(asyncio.create_task(self._clients.watch(task_id, f"watcher of {number}", pace)))
        if cancelled:
            self._others.append(asyncio.create_task(self._cancel(task_id, delay)))

    async def _cancel(self, task_id: str, delay: float) -> None:
        await asyncio.sleep(delay)
        await self._clients.cancel(task_id)


class Volume(Load):
    """Few tasks that say much: 768 lines, 48 MiB in all; one says 200 MiB, and one a single line of 50."""

    async def run(self) -> None:
        sizes = [Speech(number, lines=768, width=65_000) for number in range(self._round.tasks - 2)]
        too_much = Speech(self._round.tasks - 2, lines=3200, width=65_000)
        one_line = Speech(self._round.tasks - 1, lines=1, width=50 * MIB)
        ids = [await self._clients.create("say", speech, self._round.attempts) for speech in (*sizes, too_much)]
        ids.append(await self._clients.create("blast", one_line, self._round.attempts))
        await asyncio.gather(*(self._clients.watch(task_id, f"watcher of {task_id}") for task_id in ids))
