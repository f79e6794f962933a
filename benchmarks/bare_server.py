"""A bare gRPC server over mutual TLS with TaskRun's messages and none of its work: the limit of the machine."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

from taskrun.v1 import task_service_pb2 as tasks
from taskrun.v1 import task_service_pb2_grpc as tasks_grpc

_TASK = tasks.Task(id="0" * 36, agent_name="noop", input_json="null", created_by="bench", created_at_ms=1)


class BareTasks(tasks_grpc.TaskServiceServicer):
    """Answers, and does nothing else."""

    async def CreateTask(self, request, context):  # type: ignore[no-untyped-def,override]
        return _TASK

    async def WatchTask(self, request, context) -> AsyncIterator[tasks.WatchTaskResponse]:  # type: ignore[no-untyped-def,override]
        """As many messages of one chunk each as `from_seq` says."""
        message = tasks.WatchTaskResponse()
        message.updates.add(seq=1, timestamp_ms=1).output.contents.append("123456.123456;")
        for _ in range(request.from_seq):
            yield message


async def main(certs: Path) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    tasks_grpc.add_TaskServiceServicer_to_server(BareTasks(), server)
    credentials = grpc.ssl_server_credentials(
        [((certs / "server.key").read_bytes(), (certs / "server.crt").read_bytes())],
        (certs / "ca.crt").read_bytes(),
        require_client_auth=True,
    )
    port = server.add_secure_port("[::1]:0", credentials)
    await server.start()
    print(f"[::1]:{port}", flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
