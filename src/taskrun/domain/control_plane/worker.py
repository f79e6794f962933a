"""A worker, as the control plane knows it."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskrun.domain.records import WorkerInfo, WorkerView
from taskrun.domain.status import WorkerStatus

#: A worker that is away has no stream.
NO_SESSION = 0


@dataclass(eq=False, slots=True)
class Worker:
    """A worker on its stream, or away from it for a while."""

    id: str
    #: Its stream; the last one, if it is away.
    session: int
    info: WorkerInfo
    features: frozenset[str]
    max_concurrent_runs: int
    connected_at_ms: int
    #: The process that has its runs, if they outlive its stream.
    process: str = ""
    #: The newest of the process's streams, as it counts them.
    stream: int = 0
    status: WorkerStatus = WorkerStatus.IDLE
    last_heartbeat_ms: int = 0
    #: Seconds, monotonic: when anything was last heard.
    last_contact: float = 0.0
    #: The ids of its runs.
    runs: set[str] = field(default_factory=set)
    #: Runs that have ended for us while the worker may still execute them: each holds its slot until it reports.
    overdue: set[str] = field(default_factory=set)
    #: Its runs, of both kinds, that it did not start in time: until it says anything about them it is offered none.
    unstarted: set[str] = field(default_factory=set)
    #: It refused a run: it is offered none before its next heartbeat.
    held: bool = False
    #: Messages of the transport that came on its stream, and those that it has not been told are stored.
    messages: int = 0
    untold_messages: int = 0
    untold_weight: int = 0

    @property
    def active_runs(self) -> int:
        return len(self.runs) + len(self.overdue)

    @property
    def resumes(self) -> bool:
        """Whether its runs outlive its stream."""
        return bool(self.process)

    @property
    def withheld(self) -> str:
        """Why it is offered no run, whatever its status and its slots; "" if it is. See `WorkerView`."""
        if self.unstarted:
            return "did not start a run in time, and gets none before it says something about it"
        return "turned a run away, and gets none before its next heartbeat" if self.held else ""

    def view(self) -> WorkerView:
        return WorkerView(
            self.id,
            self.info,
            self.status,
            self.active_runs,
            self.max_concurrent_runs,
            self.last_heartbeat_ms,
            self.connected_at_ms,
            self.withheld,
        )
