"""The control plane for asynchronous programs."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar, cast

import grpc

from taskrun.adapters.grpc import calls
from taskrun.adapters.grpc.address import Address, parse_addresses
from taskrun.adapters.grpc.calls import RemoteCall
from taskrun.adapters.grpc.channel import open_channel
from taskrun.adapters.grpc.coalescing import Coalescer
from taskrun.adapters.grpc.codec_workers import WorkerQuery
from taskrun.adapters.grpc.following import Following
from taskrun.adapters.grpc.keys import Keys
from taskrun.adapters.grpc.route import Route, Trip, system_chance
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.adapters.grpc.unreachable import failure
from taskrun.domain.api_keys import ApiKey
from taskrun.domain.certificates.certificate import Certificate, CertificateQuery
from taskrun.domain.errors import TaskRunError
from taskrun.domain.explanation import Explanation
from taskrun.domain.identity import Role
from taskrun.domain.limits import MAX_PAGE
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.api_keys import NewApiKey
from taskrun.ports.enrollment import BootstrapToken

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class AsyncClient:
    """Like `Client`; an asynchronous context manager. It belongs to the loop in which it was made.

    Creates that come while one is under way are sent together in the next call: many at once cost an eighth each.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        tls: ClientTls,
        timeout: float = 30.0,
        chance: Callable[[], float] = system_chance,
    ) -> None:
        """See `Client`."""
        self._tls, self._timeout = tls, timeout
        self._route = Route(parse_addresses(address), chance)
        self._keys = Keys()
        self._channels = {place: open_channel(place, tls, self._route.is_several) for place in self._route.addresses}
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
        for channel in self._channels.values():
            await channel.close()

    @property
    def address(self) -> Address:
        """See `Client.address`."""
        return self._route.here

    async def create(self, spec: TaskSpec) -> Task:
        """Creates a task. Raises what the control plane refuses it for, like `Client.create` for one spec."""
        return await self._creates.create(calls.spec_bytes(self._keyed(spec)))

    async def create_alone(self, spec: TaskSpec) -> Task:
        """The same in a call of its own, which every control plane knows."""
        return await self._ask(calls.CREATE, self._keyed(spec))

    async def get(self, task_id: str) -> Task:
        """See `Client.get`."""
        return await self._ask(calls.GET, task_id)

    async def find(self, query: TaskQuery) -> TaskPage:
        """See `Client.find`."""
        return await self._ask(calls.FIND, query)

    async def explain(self, task_id: str) -> Explanation:
        """See `Client.explain`."""
        return await self._ask(calls.EXPLAIN, task_id)

    async def cancel(self, task_id: str) -> Task:
        """See `Client.cancel`."""
        return await self._ask(calls.CANCEL, task_id)

    async def continue_task(self, task_id: str, message: str, *, fork: bool = False, idempotency_key: str = "") -> Task:
        """See `Client.continue_task`."""
        key = idempotency_key or (self._keys.next() if self._route.is_several else "")
        return await self._ask(calls.CONTINUE, (task_id, message, fork, key))

    def watch(self, task_id: str, from_seq: int = 0) -> AsyncGenerator[Sequence[StoryEntry], None]:
        """See `Client.watch`."""
        steps = self._follow(Following(calls.WATCH, (task_id, from_seq), task_id))
        return cast("AsyncGenerator[Sequence[StoryEntry], None]", steps)

    def create_and_watch(self, spec: TaskSpec) -> AsyncGenerator[Task | Sequence[StoryEntry], None]:
        """See `Client.create_and_watch`."""
        return self._follow(Following(calls.CREATE_AND_WATCH, self._keyed(spec)))

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

    # Certificates.

    async def certificates(self, owner: str = "") -> Sequence[Certificate]:
        """See `Client.certificates`."""
        found: list[Certificate] = []
        query = CertificateQuery(owner, MAX_PAGE)
        while True:
            page = await self._ask(calls.CERTIFICATES, query)
            found += page.certificates
            if not page.next_page_token:
                return found
            query = CertificateQuery(owner, MAX_PAGE, page.next_page_token)

    async def revoke_worker(self, worker_id: str) -> Sequence[Certificate]:
        """See `Client.revoke_worker`."""
        return await self._ask(calls.REVOKE_WORKER, worker_id)

    async def revoke_client(self, name: str) -> Sequence[Certificate]:
        """See `Client.revoke_client`."""
        return await self._ask(calls.REVOKE_CLIENT, name)

    async def revoke_serial(self, serial: str) -> Sequence[Certificate]:
        """See `Client.revoke_serial`."""
        return await self._ask(calls.REVOKE_SERIAL, serial)

    async def renew_certificate(self, csr_pem: bytes) -> bytes:
        """A worker's next certificate (PEM), for the key of this request; see `CertificateApi.renew`. Of this client,
        opened with the worker's certificate, it is the only method that such a one may call."""
        return await self._ask(calls.RENEW, csr_pem)

    async def create_key(self, name: str, role: Role, ttl_ms: int = 0) -> NewApiKey:
        """See `Client.create_key`."""
        return await self._ask(calls.CREATE_KEY, (name, role, ttl_ms))

    async def keys(self) -> Sequence[ApiKey]:
        """See `Client.keys`."""
        return await self._ask(calls.KEYS, None)

    async def revoke_key(self, name: str) -> ApiKey:
        """See `Client.revoke_key`."""
        return await self._ask(calls.REVOKE_KEY, name)

    async def _create_many(self, specs: list[bytes]) -> list[Task | TaskRunError]:
        return calls.matched(await self._ask(calls.CREATE_MANY, specs), len(specs))

    async def _follow(self, following: Following) -> AsyncGenerator[Task | Sequence[StoryEntry], None]:
        trip = self._route.trip(repeatable=True)
        while True:
            method: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
            method = self._channels[trip.address].unary_stream(following.path)
            stream = method(following.request())
            try:
                async for data in stream:
                    trip.held()
                    for step in following.steps(data):
                        yield step
                return
            except grpc.aio.AioRpcError as error:
                self._go_on(trip, error)
            finally:
                stream.cancel()

    async def _ask(self, call: RemoteCall[Question, Answer], question: Question) -> Answer:
        request = call.request(question)
        trip = self._route.trip(repeatable=call.repeatable, timeout=self._timeout)
        while True:
            method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
            method = self._channels[trip.address].unary_unary(call.path)
            try:
                data = await method(request, timeout=trip.timeout)
            except grpc.aio.AioRpcError as error:
                self._go_on(trip, error)
            else:
                trip.held()
                return call.answer(data)

    def _keyed(self, spec: TaskSpec) -> TaskSpec:
        """See `Client._keyed`."""
        return self._keys.keyed(spec) if self._route.is_several else spec

    def _go_on(self, trip: Trip, error: grpc.aio.AioRpcError) -> None:
        """See `Client._go_on`."""
        end = trip.failed(failure(error, trip.address, self._tls.cert_pem, accepted=trip.is_held))
        if end is not None:
            raise end from error
