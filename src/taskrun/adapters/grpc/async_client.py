"""The control plane for asynchronous programs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import Self, TypeVar

import grpc

from taskrun.adapters.grpc import calls
from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.calls import RemoteCall
from taskrun.adapters.grpc.channel import open_channel
from taskrun.adapters.grpc.coalescing import Coalescer
from taskrun.adapters.grpc.codec_workers import WorkerQuery
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.adapters.grpc.unreachable import failure
from taskrun.domain.errors import TaskRunError
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.enrollment import BootstrapToken

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class AsyncClient:
    """Like `Client`; an asynchronous context manager. It belongs to the loop in which it was made.

    Creates that come while one is under way are sent together in the next call: many at once cost an eighth each.
    """

    def __init__(self, address: str, tls: ClientTls, timeout: float = 30.0) -> None:
        """`address` as `parse_address` reads it. `timeout` in seconds is for each call except `watch`."""
        self._address, self._tls, self._timeout = parse_address(address), tls, timeout
        self._channel = open_channel(self._address, tls)
        self._creates = Coalescer(self._create_many)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the calls under way and closes the connection; doing it twice is harmless."""
        await self._creates.close()
        await self._channel.close()

    async def create(self, spec: TaskSpec) -> Task:
        """Creates a task. Raises what the control plane refuses it for, like `Client.create` for one spec."""
        return await self._creates.create(calls.spec_bytes(spec))

    async def create_alone(self, spec: TaskSpec) -> Task:
        """The same in a call of its own, which every control plane knows."""
        return await self._ask(calls.CREATE, spec)

    async def get(self, task_id: str) -> Task:
        """See `Client.get`."""
        return await self._ask(calls.GET, task_id)

    async def find(self, query: TaskQuery) -> TaskPage:
        """See `Client.find`."""
        return await self._ask(calls.FIND, query)

    async def cancel(self, task_id: str) -> Task:
        """See `Client.cancel`."""
        return await self._ask(calls.CANCEL, task_id)

    def watch(self, task_id: str, from_seq: int = 0) -> AsyncGenerator[Sequence[StoryEntry], None]:
        """See `Client.watch`."""
        return self._follow(calls.WATCH, (task_id, from_seq))

    async def create_and_watch(self, spec: TaskSpec) -> AsyncGenerator[Task | Sequence[StoryEntry], None]:
        """See `Client.create_and_watch`."""
        async with aclosing(self._follow(calls.CREATE_AND_WATCH, spec)) as answers:
            async for steps in answers:
                for step in steps:
                    yield step

    async def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        """See `Client.workers`."""
        found: list[WorkerView] = []
        query: WorkerQuery | None = calls.worker_query(agent, status)
        while query is not None:
            page = await self._ask(calls.WORKERS, query)
            found += page.workers
            query = query.after(page)
        return found

    async def worker(self, worker_id: str) -> WorkerView:
        """See `Client.worker`."""
        return await self._ask(calls.WORKER, worker_id)

    async def create_token(self, worker_id: str = "", ttl_ms: int = 0) -> BootstrapToken:
        """See `Client.create_token`."""
        return await self._ask(calls.CREATE_TOKEN, (worker_id, ttl_ms))

    async def _create_many(self, specs: list[bytes]) -> list[Task | TaskRunError]:
        return calls.matched(await self._ask(calls.CREATE_MANY, specs), len(specs))

    async def _follow(self, call: RemoteCall[Question, Answer], question: Question) -> AsyncGenerator[Answer, None]:
        method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(call.path)
        stream = method(call.request(question))
        accepted = False
        try:
            async for data in stream:
                accepted = True
                yield call.answer(data)
        except grpc.aio.AioRpcError as error:
            raise failure(error, self._address, self._tls.cert_pem, accepted=accepted) from error
        finally:
            stream.cancel()

    async def _ask(self, call: RemoteCall[Question, Answer], question: Question) -> Answer:
        request = call.request(question)
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(call.path)
        try:
            data = await method(request, timeout=self._timeout)
        except grpc.aio.AioRpcError as error:
            raise failure(error, self._address, self._tls.cert_pem) from error
        return call.answer(data)
