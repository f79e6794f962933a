"""Dead watchers beside live ones: what they cost the control plane, and what they cost the others.

A watcher is dead when it has begun to read and reads no more, while its connection lives: a process that is stopped.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import psutil

from benchmarks.table import percentile
from chaos.disk import MIB
from chaos.oracle import Finding, Verdict, judge
from chaos.record import Promises
from chaos.site import ROOT, Site, client_at
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.domain.records import OutputSegment, TaskSpec

#: Promised.
_MEMORY = 64 * MIB
_P99 = 0.25


@dataclass(frozen=True, slots=True)
class Audience:
    """How many watch one task, and how much it says."""

    name: str = "watchers"
    dead: int = 50
    live: int = 5
    #: Chunks a second, and for how many seconds.
    rate: int = 200
    seconds: float = 60.0

    def scaled(self, by: float) -> Audience:
        return Audience(self.name, max(5, round(self.dead * by)), self.live, self.rate, max(5.0, self.seconds * by))

    async def play(self, seed: int, directory: Path) -> Verdict:
        """The verdict: what the dead ones cost."""
        async with AsyncExitStack() as stack:
            site = await stack.enter_async_context(Site(directory, Random(seed), workers=1))
            task = await site.line.ask(lambda client: client.create(self._spec()))
            ages: list[float] = []
            live = [asyncio.create_task(_listen(site.client(), task.id, ages)) for _ in range(self.live)]
            await asyncio.sleep(2)
            before = site.memory()
            dead = await self._dead(stack, site, task.id)
            self._freeze(dead)
            growth = site.memory() - before
            # Fifty handshakes are a load of their own, which is not what is measured.
            await asyncio.sleep(3)
            ages.clear()
            while not all(watcher.done() for watcher in live):
                growth = max(growth, site.memory() - before)
                await asyncio.sleep(0.2)
            await asyncio.gather(*live)
            # Until the end: as the kernel says, and not as was planned.
            frozen = self.dead if _is_frozen(dead.pid) else 0
            history = site.history.read()
        counters = {
            "dead watchers": frozen,
            "live watchers": self.live,
            "chunks that live ones read": len(ages),
            "MiB that the control plane grew": growth // MIB,
            "ms, the 99th percentile of a chunk's age": round(percentile(ages, 0.99) * 1000),
        }
        findings = judge(history, Promises(resume=90)).findings
        if growth > _MEMORY:
            findings.append(Finding("unexpected", "memory", f"it grew by {growth // MIB} MiB"))
        if percentile(ages, 0.99) > _P99:
            findings.append(Finding("unexpected", "live watchers", f"p99 {percentile(ages, 0.99) * 1000:.0f} ms"))
        expected = round(self.rate * self.seconds * 0.5) * self.live
        void = [] if len(ages) >= expected else [f"chunks read: {len(ages)} of at least {expected}"]
        void += [] if frozen else [f"dead watchers: 0 of {self.dead}"]
        return Verdict(findings, counters, void)

    def _freeze(self, watchers: asyncio.subprocess.Process) -> None:
        watchers.send_signal(signal.SIGSTOP)

    def _spec(self) -> TaskSpec:
        return TaskSpec("stamp", json.dumps([self.rate, self.seconds + 8]))

    async def _dead(self, stack: AsyncExitStack, site: Site, task_id: str) -> asyncio.subprocess.Process:
        """A process whose watchers have all begun to read."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos.watchers", site.address, str(site.certs), task_id, str(self.dead)),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )

        async def end() -> None:
            # Watchers that live end with what they watch.
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

        stack.push_async_callback(end)
        assert process.stdout is not None
        assert (await asyncio.wait_for(process.stdout.readline(), 60)).strip() == b"watching"
        return process


def _is_frozen(pid: int) -> bool:
    """Whether the kernel says so. One that has ended is not."""
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


async def _listen(client: AsyncClient, task_id: str, ages: list[float]) -> None:
    """Notes how old each chunk is."""
    async for entries in client.watch(task_id):
        now = time.monotonic()
        for entry in entries:
            if isinstance(entry.body, OutputSegment):
                ages.extend(now - float(content.split()[0]) for content in entry.body.contents)
    await client.close()


async def main(address: str, certs: str, task_id: str, count: str) -> None:
    """Watches, each over a connection of its own, until somebody ends it."""
    reading = [asyncio.Event() for _ in range(int(count))]

    async def watch(begun: asyncio.Event) -> None:
        async for _ in client_at(address, Path(certs)).watch(task_id):
            begun.set()

    watchers = [asyncio.create_task(watch(begun)) for begun in reading]
    for begun in reading:
        await begun.wait()
    print("watching", flush=True)
    await asyncio.gather(*watchers)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
