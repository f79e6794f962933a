"""A bare gRPC server over mutual TLS with TaskRun's messages and none of its work: the limit of the machine."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc

from taskrun.v1 import task_service_pb2 as tasks

_TASK = tasks.Task(id="0" * 36, agent_name="noop", input_json="null", created_by="bench", created_at_ms=1)
_CHUNK = tasks.WatchTaskResponse()
_CHUNK.updates.add(seq=1, timestamp_ms=1).output.contents.append("123456.123456;")


async def create(request: tasks.CreateTaskRequest, context: object) -> tasks.Task:
    """Answers, and does nothing else."""
    return _TASK


async def watch(request: tasks.WatchTaskRequest, context: object) -> AsyncIterator[tasks.WatchTaskResponse]:
    """As many messages of one chunk each as `from_seq` says."""
    for _ in range(request.from_seq):
        yield _CHUNK


METHODS: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
    "CreateTask": grpc.unary_unary_rpc_method_handler(
        create, tasks.CreateTaskRequest.FromString, tasks.Task.SerializeToString
    ),
    "WatchTask": grpc.unary_stream_rpc_method_handler(
        watch, tasks.WatchTaskRequest.FromString, tasks.WatchTaskResponse.SerializeToString
    ),
}


async def main(certs: Path) -> None:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("taskrun.v1.TaskService", METHODS)])
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
