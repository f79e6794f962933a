from __future__ import annotations

from collections import Counter

import pytest

from taskrun.domain.status import FailureKind, RunEventType
from taskrun.ports.agent_events import (
    AgentEvent,
    ExecutionCompleted,
    ExecutionFailed,
    Permission,
    PermissionAsked,
    ToolCompleted,
    UsageReported,
)


@pytest.mark.parametrize(
    ("event", "type", "metadata"),
    [
        (ExecutionCompleted(), RunEventType.EXECUTION_COMPLETED, {}),
        (ExecutionFailed(FailureKind.TIMEOUT), RunEventType.EXECUTION_FAILED, {"failure": "timeout"}),
        (
            PermissionAsked("Bash", Permission.DENIED),
            RunEventType.PERMISSION_ASKED,
            {"tool": "Bash", "decision": "denied"},
        ),
        (
            ToolCompleted("Bash", result_size=7),
            RunEventType.TOOL_COMPLETED,
            {"tool": "Bash", "outcome": "ok", "result_size": "7"},
        ),
        (UsageReported("m", 7), RunEventType.USAGE, {"model": "m", "input_tokens": "7"}),
        (UsageReported(cost_usd=0.0), RunEventType.USAGE, {"cost_usd": "0.0"}),
    ],
)
def test_an_event_travels_as_its_type_and_what_is_known(
    event: AgentEvent, type: RunEventType, metadata: dict[str, str]
) -> None:
    assert (event.TYPE, event.metadata()) == (type, metadata)


def test_each_type_that_is_known_has_one_event() -> None:
    told = Counter(kind.TYPE for kind in AgentEvent.__subclasses__())
    assert told == Counter(type for type in RunEventType if type is not RunEventType.UNKNOWN)


def test_a_type_of_a_later_version_is_unknown() -> None:
    assert RunEventType("DREAMT") is RunEventType.UNKNOWN
