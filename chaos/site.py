"""Control planes and their workers, each a real process, over mutual TLS.

If there is one control plane, each worker is behind a proxy of its own; of several each worker knows all addresses.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import psutil

from benchmarks.plant import Plant
from chaos.clients import TIMEOUT, Line
from chaos.disk import SmallDisk
from chaos.history import History
from chaos.proxy import Proxy
from chaos.record import PLANE
from taskrun.adapters.grpc.async_client import AsyncClient
from taskrun.adapters.grpc.tls import ClientTls

ROOT = Path(__file__).parent.parent
#: Seconds that a process may take to come up.
_PATIENCE = 30.0
#: How what a worker's log says of its connections begins: it is on a new one; it has none.
_CONNECTED = "connected"
_WHEREABOUTS = (_CONNECTED, "the link is lost", "working for")


@dataclass(frozen=True, slots=True)
class Timers:
    """The product's timers, in seconds; the defaults are those of the product."""

    resume: float = 90.0
    grace: float = 120.0
    heartbeat: float = 15.0
    silence: float = 45.0
    reconnect: float = 0.5
    #: Of several control planes only.
    lease: float = 15.0

    def of_plane(self) -> list[str]:
        return ["--worker-grace", str(self.grace), "--silence-timeout", str(self.silence)]

    def of_worker(self) -> list[str]:
        return [
            *("--resume-timeout", str(self.resume), "--heartbeat", str(self.heartbeat)),
            *("--reconnect", str(self.reconnect), "--reconnect-max", str(4 * self.reconnect)),
        ]


class Broken(Exception):
    """A process did not do what every round rests on: that is a finding by itself."""


class Program:
    """A process that can be killed and started again, with the same arguments. Its log is a file."""

    def __init__(self, name: str, command: Sequence[str], log: Path) -> None:
        self.name, self.log = name, log
        self._command = [sys.executable, *command, "--log-format", "json"]
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, cwd=ROOT, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    def tell(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    async def end(self, number: signal.Signals) -> int:
        """Sends it a signal that ends it; its exit code."""
        assert self._process is not None
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
        return await self._process.wait()

    async def kill(self) -> None:
        """`kill -9`. Raises `Broken` if it had ended before."""
        code = await self.end(signal.SIGKILL)
        if code != -signal.SIGKILL:
            raise Broken(f"{self.name} had ended by itself, with {code}:\n{self.log.read_text()[-2000:]}")

    def is_frozen(self) -> bool:
        """Whether the kernel says so."""
        return psutil.Process(self.pid).status() == psutil.STATUS_STOPPED


class Site:
    """An asynchronous context manager: whatever it starts ends with it."""

    def __init__(
        self,
        directory: Path,
        random: Random,
        *,
        workers: int = 4,
        slots: int = 20,
        timers: Timers | None = None,
        disk: SmallDisk | None = None,
        plane: Sequence[str] = (),
        planes: int = 1,
    ) -> None:
        """`plane` are further arguments of each control plane; `planes` is how many there are, of one store."""
        self.timers = timers or Timers()
        self.directory = directory
        #: What the control plane has for its database, if that is little.
        self.disk = disk
        self.history = History(directory / "history.jsonl")
        self._plant = Plant(directory)
        ports = _free_ports(2 * planes + workers, random)
        names = [PLANE] if planes == 1 else [f"{PLANE}-{number}" for number in range(planes)]
        #: Where each control plane is.
        self.addresses = {name: f"[::1]:{ports.pop()}" for name in names}
        self.planes = {
            name: Program(name, [*self._plane_command(name, ports.pop()), *plane], directory / f"{name}.log")
            for name in names
        }
        worker_names = [f"worker-{i}" for i in range(workers)]
        target = int(self.addresses[names[0]].rpartition(":")[2])
        #: By worker; none if there are several control planes.
        self.proxies = {name: Proxy(target, ports.pop()) for name in worker_names if planes == 1}
        self.workers = {
            name: Program(name, self._worker_command(name, slots), directory / f"{name}.log") for name in worker_names
        }
        self.line = Line(self.client, asyncio.sleep)

    async def __aenter__(self) -> Site:
        self.history.add("clock", utc=time.time())
        self._utc_shift = time.monotonic() - time.time()
        try:
            await self._start()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.line.close()
        for program in (*self.workers.values(), *self.planes.values()):
            if program.runs:
                await program.end(signal.SIGKILL)
        for proxy in self.proxies.values():
            await proxy.stop()
        self.history.close()

    async def _start(self) -> None:
        for plane in self.planes.values():
            await self.start_plane(plane)
        for proxy in self.proxies.values():
            await proxy.start()
        for worker in self.workers.values():
            await worker.start()
        await self.workers_are_here(self.workers)

    @property
    def address(self) -> str:
        """The control plane's, or all of them with commas between."""
        return ",".join(self.addresses.values())

    @property
    def certs(self) -> Path:
        """Where the certificates of clients are."""
        return self._plant.certs

    def client(self) -> AsyncClient:
        """A connection of its own."""
        return client_at(self.address, self.certs)

    async def start_plane(self, plane: Program) -> None:
        """Returns when it takes tasks, whatever others do."""
        await plane.start()
        line = Line(lambda: client_at(self.addresses[plane.name], self.certs), asyncio.sleep)

        async def is_ready() -> bool:
            await line.ask(lambda client: client.workers())
            return True

        try:
            await self._soon(is_ready, plane)
        finally:
            await line.close()

    def workers_of(self, plane: Program) -> list[str]:
        """Those that are connected to it, as their logs say, and could notice if it were gone."""
        awake = (worker for worker in self.workers.values() if worker.runs and not worker.is_frozen())
        return [worker.name for worker in awake if self.plane_of(worker) is plane]

    def plane_of(self, worker: Program) -> Program | None:
        """Where a worker of several control planes is connected, as its log says."""
        return self._plane_at(connected_to(worker.log))

    def _plane_at(self, url: str) -> Program | None:
        return next((self.planes[name] for name, at in self.addresses.items() if url == f"https://{at}"), None)

    def note_connections(self) -> None:
        """Writes down when each worker was connected anew, what ends an outage for it, and to which control plane."""
        for name, worker in self.workers.items():
            for line in _connections(worker.log):
                plane = self._plane_at(line["to"])
                at = datetime.fromisoformat(line["time"]).timestamp() + self._utc_shift
                self.history.add("connected", at=at, worker=name, plane=plane.name if plane else PLANE)

    async def workers_are_here(self, names: Iterable[str]) -> None:
        """Returns when they are connected."""

        async def here() -> bool:
            views = await self.line.ask(lambda client: client.workers())
            there = {view.id for view in views if view.status.value in {"IDLE", "BUSY"}}
            return there >= set(names)

        await self._soon(here, next(iter(self.planes.values())))

    def memory(self) -> int:
        """That of all control planes, in bytes."""
        return sum(int(psutil.Process(plane.pid).memory_info().rss) for plane in self.planes.values())

    async def _soon(self, check: Callable[[], Awaitable[bool]], program: Program) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                while not await check():  # noqa: ASYNC110  # the state is in another process
                    await asyncio.sleep(0.05)
        except TimeoutError:
            tail = program.log.read_text()[-2000:]
            raise Broken(f"{program.name} did not come up (it runs: {program.runs}):\n{tail}") from None

    def _plane_command(self, name: str, http_port: int) -> list[str]:
        data = (self.disk.path if self.disk else self.directory) / "data"
        return [
            *("-m", "taskrun.apps.control_plane", "--certs-dir", str(self._plant.certs), "--data-dir", str(data)),
            *("--grpc-addr", self.addresses[name], "--http-addr", f"[::1]:{http_port}"),
            *self.timers.of_plane(),
        ]

    def _worker_command(self, name: str, slots: int) -> list[str]:
        address = f"https://[::1]:{self.proxies[name].port}" if self.proxies else self.address
        certs = self._plant.worker_certs(name)
        (certs / "worker.key").chmod(0o600)
        return [
            *("-m", "chaos.worker", str(self.history.path), name),
            *("--addr", address, "--certs-dir", str(certs)),
            *("--ca-cert", str(self._plant.certs / "ca.crt")),
            *("--max-concurrent-runs", str(slots), "--stop-grace", "2"),
            *self.timers.of_worker(),
        ]


def client_at(address: str, certs: Path) -> AsyncClient:
    """A client's connection, with this harness's patience."""
    pems = ((certs / name).read_bytes() for name in ("ca.crt", "client.crt", "client.key"))
    return AsyncClient(address, ClientTls(*pems), TIMEOUT)


def leftovers(runs: Collection[str]) -> dict[str, list[str]]:
    """The command lines of the processes of this machine that belong to one of these runs, by run."""
    found: dict[str, list[str]] = {}
    for process in psutil.process_iter():
        try:
            run = process.environ().get("TASKRUN_RUN_ID", "")
            if run in runs and process.status() != psutil.STATUS_ZOMBIE:
                found.setdefault(run, []).append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):
            continue
    return found


def connected_to(log: Path) -> str:
    """Where a worker is, as the last that its log says of that; "" if it is nowhere."""
    return next((str(line.get("to", "")) for line in reversed(_said(log, _WHEREABOUTS))), "")


def _connections(log: Path) -> list[dict[str, Any]]:
    """What a worker's log says of its connections, the first first."""
    return _said(log, (_CONNECTED,))


def _said(log: Path, beginnings: tuple[str, ...]) -> list[dict[str, Any]]:
    # What has no end yet is still on its way.
    *lines, _ = log.read_text(errors="replace").split("\n")
    return [json.loads(line) for line in lines if any(f'"message": "{words}' in line for words in beginnings)]


def _free_ports(count: int, random: Random) -> list[int]:
    """Ports below those that the kernel gives to outgoing connections: nobody takes them while their owner is dead."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(15_000, 32_000)
        with socket.socket(socket.AF_INET6) as probe:
            try:
                probe.bind(("::1", port))
            except OSError:
                continue
        if port not in found:
            found.append(port)
    return found
