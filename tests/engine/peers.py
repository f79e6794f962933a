"""A worker's end of a stream, and the log, for tests of the control plane's engine."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.domain.errors import TaskRunError
from taskrun.domain.protocol import FEATURES, AssignRun, FromWorker, Hello, LiveRun, RunReport, ToWorker
from taskrun.domain.records import AgentSpec, WorkerInfo
from taskrun.domain.status import RunStatus
from taskrun.ports.control_plane import WorkerGateway


def hello(*agents: str, slots: int = 10, process: str = "", live: tuple[LiveRun, ...] = ()) -> Hello:
    info = WorkerInfo("host", "1", tuple(map(AgentSpec, agents)))
    return Hello(info, frozenset(FEATURES), slots, process=process, live_runs=live)


class Peer:
    """Implements `WorkerOutbox`: keeps what the worker is sent, and says what the worker is made to say."""

    def __init__(self, gateway: WorkerGateway) -> None:
        self.gateway = gateway
        self.session = 0
        self.heard: list[ToWorker] = []
        self.error: TaskRunError | None = None

    def send(self, messages: Sequence[ToWorker]) -> None:
        self.heard.extend(messages)

    def close(self, error: TaskRunError) -> None:
        self.error = self.error or error

    async def connect(
        self,
        worker_id: str = "w1",
        slots: int = 10,
        process: str = "",
        live: tuple[LiveRun, ...] = (),
        agent: str = "echo",
    ) -> None:
        said = hello(agent, slots=slots, process=process, live=live)
        self.session = await self.gateway.connect(worker_id, said, self)

    async def say(self, *messages: FromWorker) -> None:
        await self.gateway.receive(self.session, messages)

    async def end(self, run_id: str, status: RunStatus = RunStatus.COMPLETED) -> None:
        await self.say(RunReport(run_id, status))

    @property
    def runs(self) -> list[AssignRun]:
        return [message for message in self.heard if isinstance(message, AssignRun)]
