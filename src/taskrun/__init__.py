"""TaskRun: the control plane for AI agents on remote workers, as a library.

The public names live here. Each is loaded when it is first used: `import taskrun` loads nothing heavy, and no name in
here loads gRPC.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from taskrun.version import __version__ as __version__

if TYPE_CHECKING:
    from taskrun.adapters.agents.function import FunctionAgent as FunctionAgent
    from taskrun.adapters.stores.memory import MemoryStore as MemoryStore
    from taskrun.domain.errors import (
        AlreadyExists as AlreadyExists,
    )
    from taskrun.domain.errors import (
        FailedPrecondition as FailedPrecondition,
    )
    from taskrun.domain.errors import (
        InvalidArgument as InvalidArgument,
    )
    from taskrun.domain.errors import (
        NotFound as NotFound,
    )
    from taskrun.domain.errors import (
        TaskRunError as TaskRunError,
    )
    from taskrun.domain.errors import (
        Unavailable as Unavailable,
    )
    from taskrun.domain.events import DomainEvent as DomainEvent
    from taskrun.domain.records import (
        AgentSpec as AgentSpec,
    )
    from taskrun.domain.records import (
        ModelBackend as ModelBackend,
    )
    from taskrun.domain.records import (
        OutputSegment as OutputSegment,
    )
    from taskrun.domain.records import (
        Requirement as Requirement,
    )
    from taskrun.domain.records import (
        Run as Run,
    )
    from taskrun.domain.records import (
        RunEvent as RunEvent,
    )
    from taskrun.domain.records import (
        StoryEntry as StoryEntry,
    )
    from taskrun.domain.records import (
        Task as Task,
    )
    from taskrun.domain.records import (
        TaskChange as TaskChange,
    )
    from taskrun.domain.records import (
        TaskPage as TaskPage,
    )
    from taskrun.domain.records import (
        TaskQuery as TaskQuery,
    )
    from taskrun.domain.records import (
        TaskSpec as TaskSpec,
    )
    from taskrun.domain.records import (
        Usage as Usage,
    )
    from taskrun.domain.records import (
        WorkerInfo as WorkerInfo,
    )
    from taskrun.domain.records import (
        WorkerView as WorkerView,
    )
    from taskrun.domain.scheduler import Claim as Claim
    from taskrun.domain.scheduler import Scheduler as Scheduler
    from taskrun.domain.status import (
        FailureKind as FailureKind,
    )
    from taskrun.domain.status import (
        RunEventType as RunEventType,
    )
    from taskrun.domain.status import (
        RunStatus as RunStatus,
    )
    from taskrun.domain.status import (
        TaskStatus as TaskStatus,
    )
    from taskrun.domain.status import (
        WorkerStatus as WorkerStatus,
    )
    from taskrun.domain.timers import ControlPlaneTimers as ControlPlaneTimers
    from taskrun.domain.timers import DaemonTimers as DaemonTimers
    from taskrun.engine.control_plane import ControlPlane as ControlPlane
    from taskrun.engine.daemon import Daemon as Daemon
    from taskrun.local import LocalControlPlane as LocalControlPlane
    from taskrun.ports.agents import (
        Agent as Agent,
    )
    from taskrun.ports.agents import (
        AgentRequest as AgentRequest,
    )
    from taskrun.ports.agents import (
        AgentResult as AgentResult,
    )
    from taskrun.ports.agents import (
        AgentSink as AgentSink,
    )
    from taskrun.ports.authority import CertificateAuthority as CertificateAuthority
    from taskrun.ports.clock import Clock as Clock
    from taskrun.ports.link import Connector as Connector
    from taskrun.ports.link import Link as Link
    from taskrun.ports.store import Store as Store
    from taskrun.ports.telemetry import Telemetry as Telemetry

#: Where each public name is at home; the block above tells type checkers the same.
_HOMES = {
    "taskrun.adapters.agents.function": ("FunctionAgent",),
    "taskrun.adapters.stores.memory": ("MemoryStore",),
    "taskrun.domain.errors": (
        "AlreadyExists",
        "FailedPrecondition",
        "InvalidArgument",
        "NotFound",
        "TaskRunError",
        "Unavailable",
    ),
    "taskrun.domain.events": ("DomainEvent",),
    "taskrun.domain.records": (
        "AgentSpec",
        "ModelBackend",
        "OutputSegment",
        "Requirement",
        "Run",
        "RunEvent",
        "StoryEntry",
        "Task",
        "TaskChange",
        "TaskPage",
        "TaskQuery",
        "TaskSpec",
        "Usage",
        "WorkerInfo",
        "WorkerView",
    ),
    "taskrun.domain.scheduler": ("Claim", "Scheduler"),
    "taskrun.domain.status": ("FailureKind", "RunEventType", "RunStatus", "TaskStatus", "WorkerStatus"),
    "taskrun.domain.timers": ("ControlPlaneTimers", "DaemonTimers"),
    "taskrun.engine.control_plane": ("ControlPlane",),
    "taskrun.engine.daemon": ("Daemon",),
    "taskrun.local": ("LocalControlPlane",),
    "taskrun.ports.agents": ("Agent", "AgentRequest", "AgentResult", "AgentSink"),
    "taskrun.ports.authority": ("CertificateAuthority",),
    "taskrun.ports.clock": ("Clock",),
    "taskrun.ports.link": ("Connector", "Link"),
    "taskrun.ports.store": ("Store",),
    "taskrun.ports.telemetry": ("Telemetry",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_HOME_OF]  # the names of the table


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'taskrun' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted(__all__)
