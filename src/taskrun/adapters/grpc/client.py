"""The control plane for programs that are not asynchronous: the command line, scripts.

gRPC takes a tenth of a second to load. It is loaded with the first client, not with this module.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from taskrun.adapters.grpc.address import Address, parse_addresses
from taskrun.adapters.grpc.keys import Keys
from taskrun.adapters.grpc.route import Route, Trip, system_chance
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.domain.api_keys import ApiKey
from taskrun.domain.certificates.certificate import Certificate, CertificateQuery
from taskrun.domain.errors import InvalidArgument, TaskRunError
from taskrun.domain.explanation import Explanation
from taskrun.domain.identity import Role
from taskrun.domain.limits import MAX_PAGE
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.api_keys import NewApiKey
from taskrun.ports.enrollment import BootstrapToken

if TYPE_CHECKING:
    import grpc

    from taskrun.adapters.grpc.calls import RemoteCall
    from taskrun.adapters.grpc.codec_workers import WorkerQuery
    from taskrun.adapters.grpc.following import Following

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Client:
    """A connection to a control plane, opened by the first call; a context manager. Threads may share it.

    Several control planes that share a store are one to it. It stays with the one that answers. A call that surely has
    not begun anywhere, since nobody was reached or the control plane has said so, goes on to the next, in random order,
    each once. One whose fate is unknown is repeated where that makes no difference: what only reads, and creating and
    continuing, where what comes without an idempotency key gets one; not `cancel` and `create_token`. A story that is
    watched goes on behind the last entry that came.

    Besides what is said of each, every method raises `Unavailable` if the control plane cannot be reached or is not
    ready, `Unauthenticated` or `PermissionDenied` if the certificate does not do, and `InvalidArgument` for a request
    that is refused for what it says.
    """

    def __init__(
        self,
        address: str | Sequence[str],
        tls: ClientTls,
        timeout: float = 30.0,
        chance: Callable[[], float] = system_chance,
    ) -> None:
        """`address`, one or several, as `parse_addresses` reads it; the certificate must be good for each name.

        `timeout` in seconds is for each call, whomever it tries, except `watch`. `chance` gives numbers from 0 to 1.
        Raises `InvalidArgument` for what is no address.
        """
        self._tls, self._timeout = tls, timeout
        self._route = Route(parse_addresses(address), chance)
        self._keys = Keys()

        import grpc

        from taskrun.adapters.grpc import calls
        from taskrun.adapters.grpc.options import channel_options

        self._grpc, self._calls = grpc, calls
        credentials = grpc.ssl_channel_credentials(tls.ca_pem, tls.key_pem, tls.cert_pem)
        # A channel connects when it is used, and checks the name that it was opened for.
        self._channels = {
            place: grpc.secure_channel(place.target, credentials, channel_options(place, self._route.is_several))
            for place in self._route.addresses
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; doing it twice is harmless."""
        for channel in self._channels.values():
            channel.close()

    @property
    def address(self) -> Address:
        """Where something was answered last; before that, where it will be asked first."""
        return self._route.here

    # Tasks.

    def create(self, specs: Sequence[TaskSpec]) -> list[Task | TaskRunError]:
        """Creates a task for each spec, and answers in their order: the task, or why there is none."""
        encoded = [self._encoded(spec) for spec in specs]
        answers: list[Task | TaskRunError] = []
        for group in self._calls.create_groups([part for part in encoded if isinstance(part, bytes)]):
            try:
                answers += self._calls.matched(self._ask(self._calls.CREATE_MANY, group), len(group))
            except TaskRunError as error:
                # What was created before must not be lost to the caller.
                if not answers:
                    raise
                answers += [error] * len(group)
        made = iter(answers)
        return [next(made) if isinstance(part, bytes) else part for part in encoded]

    def get(self, task_id: str) -> Task:
        """The task as it now stands. Raises `NotFound`."""
        return self._ask(self._calls.GET, task_id)

    def find(self, query: TaskQuery) -> TaskPage:
        """The tasks that match, newest first. A page may hold fewer than `query.limit` and yet not be the last."""
        return self._ask(self._calls.FIND, query)

    def explain(self, task_id: str) -> Explanation:
        """Why the task waits. Raises `NotFound`."""
        return self._ask(self._calls.EXPLAIN, task_id)

    def cancel(self, task_id: str) -> Task:
        """Asks for the end of a task. Raises `NotFound`, and `FailedPrecondition` if it has ended."""
        return self._ask(self._calls.CANCEL, task_id)

    def continue_task(self, task_id: str, message: str, *, fork: bool = False, idempotency_key: str = "") -> Task:
        """Says something more to the agent of a task; see `TaskApi.continue_task`, also for what it raises.

        Returns the task that will have the answer: a new one if this has ended, else the same.
        """
        key = idempotency_key or (self._keys.next() if self._route.is_several else "")
        return self._ask(self._calls.CONTINUE, (task_id, message, fork, key))

    def watch(self, task_id: str, from_seq: int = 0) -> Generator[Sequence[StoryEntry], None, None]:
        """The task's story from `from_seq` on, live, until the task has ended. Raises `NotFound` at the first step.

        Closing the iterator ends the call and nothing else.
        """
        steps = self._follow(self._following(self._calls.WATCH, (task_id, from_seq), task_id))
        return cast("Generator[Sequence[StoryEntry], None, None]", steps)

    def create_and_watch(self, spec: TaskSpec) -> Generator[Task | Sequence[StoryEntry], None, None]:
        """Creates a task and follows it in one call: first the task, then its story as by `watch`.

        Nothing is created before the first step.
        """
        return self._follow(self._following(self._calls.CREATE_AND_WATCH, self._keyed(spec)))

    # Workers.

    def workers(self, agent: str = "", status: WorkerStatus | None = None) -> Sequence[WorkerView]:
        """The workers that match, by id: those that are connected, and those that may come back."""
        found: list[WorkerView] = []
        query: WorkerQuery | None = self._calls.worker_query(agent, status)
        while query is not None:
            page = self._ask(self._calls.WORKERS, query)
            found += page.workers
            query = query.after(page)
        return found

    def worker(self, worker_id: str) -> WorkerView:
        """One of them. Raises `NotFound`."""
        return self._ask(self._calls.WORKER, worker_id)

    def create_token(self, worker_id: str = "", ttl_ms: int = 0) -> BootstrapToken:
        """A single-use token that lets a new worker in; see `EnrollmentApi.create_token`."""
        return self._ask(self._calls.CREATE_TOKEN, (worker_id, ttl_ms))

    # Certificates.

    def certificates(self, owner: str = "") -> Sequence[Certificate]:
        """Those that were issued, newest first; of one owner (`worker:<id>` or `client:<name>`), if it is given."""
        found: list[Certificate] = []
        query = CertificateQuery(owner, MAX_PAGE)
        while True:
            page = self._ask(self._calls.CERTIFICATES, query)
            found += page.certificates
            if not page.next_page_token:
                return found
            query = CertificateQuery(owner, MAX_PAGE, page.next_page_token)

    def revoke_worker(self, worker_id: str) -> Sequence[Certificate]:
        """Makes all certificates worthless that this worker was given so far; see `CertificateApi.revoke_worker`."""
        return self._ask(self._calls.REVOKE_WORKER, worker_id)

    def revoke_client(self, name: str) -> Sequence[Certificate]:
        """Makes all certificates worthless that this client was given so far; see `CertificateApi.revoke_client`."""
        return self._ask(self._calls.REVOKE_CLIENT, name)

    def revoke_serial(self, serial: str) -> Sequence[Certificate]:
        """Makes one certificate worthless; see `CertificateApi.revoke_serial`."""
        return self._ask(self._calls.REVOKE_SERIAL, serial)

    # API keys.

    def create_key(self, name: str, role: Role, ttl_ms: int = 0) -> NewApiKey:
        """An API key for HTTP; see `ApiKeys.create`."""
        return self._ask(self._calls.CREATE_KEY, (name, role, ttl_ms))

    def keys(self) -> Sequence[ApiKey]:
        """The API keys, by name, without their digests; see `ApiKeys.list`."""
        return self._ask(self._calls.KEYS, None)

    def revoke_key(self, name: str) -> ApiKey:
        """Makes an API key worthless, at once and for good. Raises `NotFound`."""
        return self._ask(self._calls.REVOKE_KEY, name)

    # Inside.

    def _following(
        self, call: RemoteCall[Question, list[Task | Sequence[StoryEntry]]], question: Question, task_id: str = ""
    ) -> Following:
        from taskrun.adapters.grpc.following import Following

        return Following(call, question, task_id)

    def _follow(self, following: Following) -> Generator[Task | Sequence[StoryEntry], None, None]:
        trip = self._route.trip(repeatable=True)
        while True:
            method: grpc.UnaryStreamMultiCallable[bytes, bytes]
            method = self._channels[trip.address].unary_stream(following.path)
            stream = method(following.request())
            try:
                for data in stream:
                    trip.held()
                    yield from following.steps(data)
                return
            except self._grpc.RpcError as error:
                self._go_on(trip, error)
            finally:
                stream.cancel()

    def _ask(self, call: RemoteCall[Question, Answer], question: Question) -> Answer:
        request = call.request(question)
        trip = self._route.trip(repeatable=call.repeatable, timeout=self._timeout)
        while True:
            method: grpc.UnaryUnaryMultiCallable[bytes, bytes]
            method = self._channels[trip.address].unary_unary(call.path)
            try:
                data = method(request, timeout=trip.timeout)
            except self._grpc.RpcError as error:
                self._go_on(trip, error)
            else:
                trip.held()
                return call.answer(data)

    def _keyed(self, spec: TaskSpec) -> TaskSpec:
        """With one address nothing is repeated, and a key would cost the control plane a look-up."""
        return self._keys.keyed(spec) if self._route.is_several else spec

    def _encoded(self, spec: TaskSpec) -> bytes | InvalidArgument:
        try:
            return self._calls.spec_bytes(self._keyed(spec))
        except InvalidArgument as error:
            return error

    def _go_on(self, trip: Trip, error: Any) -> None:
        """The trip is at its next address now. Raises the call's error if there is none."""
        # It brings cryptography along, which a call that succeeds does not need.
        from taskrun.adapters.grpc.unreachable import failure

        end = trip.failed(failure(error, trip.address, self._tls.cert_pem, accepted=trip.is_held))
        if end is not None:
            raise end from error
