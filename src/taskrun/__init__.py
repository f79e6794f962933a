"""TaskRun: the control plane for AI agents on remote workers, as a library.

The public names live here. Each is loaded when it is first used: `import taskrun` loads nothing heavy, and what works
in this process loads no gRPC. `AsyncClient` and `Client`, which call a control plane elsewhere, do.
"""

from __future__ import annotations

from importlib import import_module

from taskrun.version import __version__ as __version__

# Each name as itself is what exports it; one a line would be a page of them.
# fmt: off
# isort: off
TYPE_CHECKING = False  # the real one would take longer to load than all the rest
if TYPE_CHECKING:
    from taskrun.adapters.agents.function import FunctionAgent as FunctionAgent
    from taskrun.adapters.grpc.async_client import AsyncClient as AsyncClient
    from taskrun.adapters.grpc.client import Client as Client
    from taskrun.adapters.grpc.tls import ClientTls as ClientTls
    from taskrun.adapters.stores.memory import MemoryStore as MemoryStore
    from taskrun.domain.batch import (
        Answer as Answer, Ask as Ask, Backlog as Backlog, Batch as Batch, ClaimNext as ClaimNext,
        ClaimTask as ClaimTask, FindKey as FindKey, KeyFound as KeyFound, Recovery as Recovery,
        TaskClaimed as TaskClaimed, TasksClaimed as TasksClaimed,
    )
    from taskrun.domain.errors import (
        AlreadyExists as AlreadyExists, FailedPrecondition as FailedPrecondition, IllegalMove as IllegalMove,
        InvalidArgument as InvalidArgument, NotFound as NotFound, PermissionDenied as PermissionDenied,
        ProtocolViolation as ProtocolViolation, ResourceExhausted as ResourceExhausted, StoreFailed as StoreFailed,
        TaskRunError as TaskRunError, Unauthenticated as Unauthenticated, Unavailable as Unavailable,
        Unconfirmed as Unconfirmed,
    )
    from taskrun.domain.events import DomainEvent as DomainEvent
    from taskrun.domain.explanation import Ahead as Ahead, Explanation as Explanation
    from taskrun.domain.fitness import WorkerFit as WorkerFit
    from taskrun.domain.history import Said as Said, said_in as said_in
    from taskrun.domain.now import Now as Now
    from taskrun.domain.protocol import FromWorker as FromWorker, Hello as Hello, ToWorker as ToWorker
    from taskrun.domain.records import (
        AgentSpec as AgentSpec, Consumption as Consumption, Continuation as Continuation, Labels as Labels,
        ModelBackend as ModelBackend, OutputSegment as OutputSegment, Requirement as Requirement, Run as Run,
        RunEvent as RunEvent, RunMessage as RunMessage, StoryBody as StoryBody, StoryEntry as StoryEntry, Task as Task,
        TaskChange as TaskChange, TaskPage as TaskPage, TaskQuery as TaskQuery, TaskSpec as TaskSpec, Usage as Usage,
        WorkerInfo as WorkerInfo, WorkerView as WorkerView,
    )
    from taskrun.domain.scheduler import Claim as Claim, Scheduler as Scheduler
    from taskrun.domain.status import (
        ChatRole as ChatRole, FailureKind as FailureKind, RunEventType as RunEventType, RunStatus as RunStatus,
        TaskStatus as TaskStatus, WorkerStatus as WorkerStatus,
    )
    from taskrun.domain.timers import ControlPlaneTimers as ControlPlaneTimers, DaemonTimers as DaemonTimers
    from taskrun.engine.control_plane import ControlPlane as ControlPlane
    from taskrun.engine.daemon import Daemon as Daemon
    from taskrun.local import LocalControlPlane as LocalControlPlane
    from taskrun.ports.agent_events import (
        AgentEvent as AgentEvent, ExecutionCompleted as ExecutionCompleted, ExecutionFailed as ExecutionFailed,
        ExecutionStarted as ExecutionStarted, Logged as Logged, OutputGenerated as OutputGenerated,
        Permission as Permission, PermissionAsked as PermissionAsked, PlanMade as PlanMade, Retried as Retried,
        SessionInitialized as SessionInitialized, Severity as Severity, Thought as Thought,
        ToolCompleted as ToolCompleted, ToolRequested as ToolRequested, UsageReported as UsageReported,
    )
    from taskrun.ports.agents import (
        Agent as Agent, AgentRequest as AgentRequest, AgentResult as AgentResult, AgentSink as AgentSink,
    )
    from taskrun.ports.authority import (
        CertificateAuthority as CertificateAuthority, IssuedCertificate as IssuedCertificate,
    )
    from taskrun.ports.clock import Clock as Clock
    from taskrun.ports.control_plane import (
        TaskApi as TaskApi, WorkerApi as WorkerApi, WorkerGateway as WorkerGateway, WorkerOutbox as WorkerOutbox,
    )
    from taskrun.ports.enrollment import (
        BootstrapToken as BootstrapToken, Enrollment as Enrollment, EnrollmentApi as EnrollmentApi,
        Exchange as Exchange, TokenRecord as TokenRecord, TokenStore as TokenStore,
    )
    from taskrun.ports.ids import IdSource as IdSource
    from taskrun.ports.link import Connector as Connector, Link as Link
    from taskrun.ports.store import Store as Store
    from taskrun.ports.telemetry import Telemetry as Telemetry
# isort: on
# fmt: on

#: Where each public name is at home; the block above tells type checkers the same.
_HOMES = {
    "taskrun.adapters.agents.function": "FunctionAgent",
    "taskrun.adapters.grpc.async_client": "AsyncClient",
    "taskrun.adapters.grpc.client": "Client",
    "taskrun.adapters.grpc.tls": "ClientTls",
    "taskrun.adapters.stores.memory": "MemoryStore",
    "taskrun.domain.batch": (
        "Answer Ask Backlog Batch ClaimNext ClaimTask FindKey KeyFound Recovery TaskClaimed TasksClaimed"
    ),
    "taskrun.domain.errors": (
        "AlreadyExists FailedPrecondition IllegalMove InvalidArgument NotFound PermissionDenied ProtocolViolation "
        "ResourceExhausted StoreFailed TaskRunError Unauthenticated Unavailable Unconfirmed"
    ),
    "taskrun.domain.events": "DomainEvent",
    "taskrun.domain.explanation": "Ahead Explanation",
    "taskrun.domain.fitness": "WorkerFit",
    "taskrun.domain.history": "Said said_in",
    "taskrun.domain.now": "Now",
    "taskrun.domain.protocol": "FromWorker Hello ToWorker",
    "taskrun.domain.records": (
        "AgentSpec Consumption Continuation Labels ModelBackend OutputSegment Requirement Run RunEvent RunMessage "
        "StoryBody StoryEntry Task TaskChange TaskPage TaskQuery TaskSpec Usage WorkerInfo WorkerView"
    ),
    "taskrun.domain.scheduler": "Claim Scheduler",
    "taskrun.domain.status": "ChatRole FailureKind RunEventType RunStatus TaskStatus WorkerStatus",
    "taskrun.domain.timers": "ControlPlaneTimers DaemonTimers",
    "taskrun.engine.control_plane": "ControlPlane",
    "taskrun.engine.daemon": "Daemon",
    "taskrun.local": "LocalControlPlane",
    "taskrun.ports.agent_events": (
        "AgentEvent ExecutionCompleted ExecutionFailed ExecutionStarted Logged OutputGenerated Permission "
        "PermissionAsked PlanMade Retried SessionInitialized Severity Thought ToolCompleted ToolRequested UsageReported"
    ),
    "taskrun.ports.agents": "Agent AgentRequest AgentResult AgentSink",
    "taskrun.ports.authority": "CertificateAuthority IssuedCertificate",
    "taskrun.ports.clock": "Clock",
    "taskrun.ports.control_plane": "TaskApi WorkerApi WorkerGateway WorkerOutbox",
    "taskrun.ports.enrollment": "BootstrapToken Enrollment EnrollmentApi Exchange TokenRecord TokenStore",
    "taskrun.ports.ids": "IdSource",
    "taskrun.ports.link": "Connector Link",
    "taskrun.ports.store": "Store",
    "taskrun.ports.telemetry": "Telemetry",
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = ["__version__", *_HOME_OF]  # the names of the table


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'taskrun' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
