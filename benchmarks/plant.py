"""The processes that are measured: a control plane, a worker with four connections, a bare gRPC server."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.enroll_keys import new_key_and_csr
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.system.clock import SystemClock

CONNECTIONS = 4


@dataclass(frozen=True)
class ControlPlaneProcess:
    """A running control plane."""

    address: str
    pid: int


class Plant:
    """Makes certificates once and starts processes that end with their `async with`."""

    def __init__(self, directory: Path) -> None:
        self.certs = directory / "certs"
        init_certs(self.certs, ["localhost"])

    def worker_certs(self, worker_id: str) -> Path:
        """A folder with a worker's own key and certificate."""
        folder = self.certs / worker_id
        if not folder.exists():
            key, csr = new_key_and_csr()
            authority = FileAuthority(self.certs / "ca.crt", self.certs / "ca.key", SystemClock())
            folder.mkdir(mode=0o700)
            (folder / "worker.key").write_bytes(key)
            (folder / "worker.crt").write_bytes(authority.sign_worker(csr, worker_id).certificate_pem)
        return folder

    def channel(self, address: str) -> grpc.aio.Channel:
        """A client's channel, as `taskrun` opens it."""
        credentials = grpc.ssl_channel_credentials(
            (self.certs / "ca.crt").read_bytes(),
            (self.certs / "client.key").read_bytes(),
            (self.certs / "client.crt").read_bytes(),
        )
        return grpc.aio.secure_channel(address, credentials)

    @asynccontextmanager
    async def control_plane(self, store: str = "memory", *options: str) -> AsyncIterator[ControlPlaneProcess]:
        command = [sys.executable, "-m", "taskrun.apps.control_plane", "--certs-dir", str(self.certs)]
        command += [
            "--grpc-addr",
            "[::1]:0",
            "--http-addr",
            "[::1]:0",
            "--log-format",
            "json",
            "--store",
            store,
            *options,
        ]
        async with _process(command) as process:
            lines = []
            while line := await _line(process):
                lines.append(line)
                said = json.loads(line) if line.startswith("{") else {}
                if "grpc_addr" in said:
                    yield ControlPlaneProcess(said["grpc_addr"], process.pid)
                    return
            raise RuntimeError("the control plane did not start:\n" + "".join(lines))

    @asynccontextmanager
    async def worker(self, *addresses: str, slots: int = 100, connections: int = CONNECTIONS) -> AsyncIterator[None]:
        """A worker process whose connections are spread over the addresses, with the agents of `benchmarks.worker`."""
        folders = [str(self.worker_certs(f"bench-{index}")) for index in range(connections)]
        command = [sys.executable, "-m", "benchmarks.worker", ",".join(addresses), str(self.certs / "ca.crt")]
        command += [str(slots), *folders]
        async with _process(command) as process:
            assert (await _line(process)).strip() == "connected"
            yield

    @asynccontextmanager
    async def bare_server(self) -> AsyncIterator[str]:
        """A gRPC server that does nothing but answer; yields its address."""
        async with _process([sys.executable, "-m", "benchmarks.bare_server", str(self.certs)]) as process:
            yield (await _line(process)).strip()


async def _line(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 30)).decode()


@asynccontextmanager
async def _process(command: list[str]) -> AsyncIterator[asyncio.subprocess.Process]:
    root = Path(__file__).parent.parent
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=root,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        try:
            await asyncio.wait_for(process.communicate(), 15)
        except TimeoutError:
            process.kill()
            await process.communicate()
