"""The control plane for programs that are not asynchronous: the command line, scripts.

gRPC takes a tenth of a second to load. It is loaded with the first client, not with this module.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.domain.errors import InvalidArgument, TaskRunError
from taskrun.domain.records import StoryEntry, Task, TaskPage, TaskQuery, TaskSpec, WorkerView
from taskrun.domain.status import WorkerStatus
from taskrun.ports.enrollment import BootstrapToken

if TYPE_CHECKING:
    import grpc

    from taskrun.adapters.grpc.calls import RemoteCall
    from taskrun.adapters.grpc.codec_workers import WorkerQuery

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Client:
    """One connection to a control plane, opened by the first call; a context manager. Threads may share it.

    Besides what is said of each, every method raises `Unavailable` if the control plane cannot be reached or is not
    ready, `Unauthenticated` or `PermissionDenied` if the certificate does not do, and `InvalidArgument` for a request
    that is refused for what it says.
    """

    def __init__(self, address: str, tls: ClientTls, timeout: float = 30.0) -> None:
        """`address` as `parse_address` reads it. `timeout` in seconds is for each call except `watch`."""
        self._address, self._tls, self._timeout = parse_address(address), tls, timeout

        import grpc

        from taskrun.adapters.grpc import calls
        from taskrun.adapters.grpc.options import channel_options

        self._grpc, self._calls = grpc, calls
        credentials = grpc.ssl_channel_credentials(tls.ca_pem, tls.key_pem, tls.cert_pem)
        self._channel = grpc.secure_channel(self._address.target, credentials, channel_options(self._address))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection; doing it twice is harmless."""
        self._channel.close()

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

    def cancel(self, task_id: str) -> Task:
        """Asks for the end of a task. Raises `NotFound`, and `FailedPrecondition` if it has ended."""
        return self._ask(self._calls.CANCEL, task_id)

    def watch(self, task_id: str, from_seq: int = 0) -> Generator[Sequence[StoryEntry], None, None]:
        """The task's story from `from_seq` on, live, until the task has ended. Raises `NotFound` at the first step.

        Closing the iterator ends the call and nothing else.
        """
        return self._follow(self._calls.WATCH, (task_id, from_seq))

    def create_and_watch(self, spec: TaskSpec) -> Generator[Task | Sequence[StoryEntry], None, None]:
        """Creates a task and follows it in one call: first the task, then its story as by `watch`.

        Nothing is created before the first step.
        """
        with closing(self._follow(self._calls.CREATE_AND_WATCH, spec)) as answers:
            for steps in answers:
                yield from steps

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

    # Inside.

    def _follow(self, call: RemoteCall[Question, Answer], question: Question) -> Generator[Answer, None, None]:
        method: grpc.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(call.path)
        stream = method(call.request(question))
        accepted = False
        try:
            for data in stream:
                accepted = True
                yield call.answer(data)
        except self._grpc.RpcError as error:
            raise self._failure(error, accepted) from error
        finally:
            stream.cancel()

    def _ask(self, call: RemoteCall[Question, Answer], question: Question) -> Answer:
        request = call.request(question)
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(call.path)
        try:
            data = method(request, timeout=self._timeout)
        except self._grpc.RpcError as error:
            raise self._failure(error) from error
        return call.answer(data)

    def _encoded(self, spec: TaskSpec) -> bytes | InvalidArgument:
        try:
            return self._calls.spec_bytes(spec)
        except InvalidArgument as error:
            return error

    def _failure(self, error: Any, accepted: bool = False) -> TaskRunError:
        # It brings cryptography along, which a call that succeeds does not need.
        from taskrun.adapters.grpc.unreachable import failure

        return failure(error, self._address, self._tls.cert_pem, accepted=accepted)
