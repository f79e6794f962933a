"""A worker process with several connections, and its agents: `noop` does nothing, `stamp` says when it began, `flood`
writes all at once, `tell` writes as an agent does."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
import time
import uuid
from functools import partial
from itertools import cycle
from pathlib import Path

from taskrun.adapters.agents.function import Function, result_of
from taskrun.adapters.grpc.link import GrpcConnector
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.telemetry import logs
from taskrun.apps.garbage import collect_rarely
from taskrun.domain.records import AgentSpec, WorkerInfo
from taskrun.domain.timers import DaemonTimers
from taskrun.engine.daemon import Daemon
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink


async def noop(request: AgentRequest, sink: AgentSink) -> None:
    """The cheapest agent there is."""


async def stamp(request: AgentRequest, sink: AgentSink) -> str:
    """Tells when it began, on the clock that all processes of one machine share."""
    return repr(time.monotonic())


async def flood(request: AgentRequest, sink: AgentSink) -> None:
    """Writes as many chunks as it is asked for, each with the time at which it was written."""
    for _ in range(json.loads(request.input_json)):
        await sink.text(f"{time.monotonic():.6f};")


async def tell(request: AgentRequest, sink: AgentSink) -> None:
    """The same, piece by piece: after each the others have their turn, as where the next has to be read first."""
    for _ in range(json.loads(request.input_json)):
        await sink.text(f"{time.monotonic():.6f};")
        await asyncio.sleep(0)


class Mute:
    """Implements `Agent` over one of these, and tells nothing beside what that says: a task is measured by itself,
    without the two events around each run that every kind of agent has."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self.spec = AgentSpec(function.__name__)

    async def run(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        """See `Agent.run`."""
        return await result_of(self._function, request, sink)


def tls_of(ca: str, folder: Path) -> ClientTls:
    return ClientTls(Path(ca).read_bytes(), (folder / "worker.crt").read_bytes(), (folder / "worker.key").read_bytes())


async def main(addresses: str, ca: str, slots: str, *folders: str) -> None:
    """A connection for each folder, spread over the addresses (with commas between them)."""
    logs.configure("json", "WARNING")
    agents = [Mute(agent) for agent in (noop, stamp, flood, tell)]
    info = WorkerInfo("bench", "0", tuple(agent.spec for agent in agents))
    daemons = []
    for address, folder in zip(cycle(addresses.split(",")), map(Path, folders), strict=False):
        connector = GrpcConnector(address, partial(tls_of, ca, folder))
        daemons.append(
            Daemon(
                [connector],
                agents,
                info,
                SystemClock(),
                DaemonTimers(reconnect=0.1),
                int(slots),
                random.random,
                str(uuid.uuid4()),
            )
        )
    collect_rarely()
    tasks = [asyncio.create_task(daemon.run()) for daemon in daemons]
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    while not all(daemon.connected for daemon in daemons):  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    print("connected", flush=True)
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
