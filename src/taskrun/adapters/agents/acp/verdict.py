"""How a turn went: the agent says it by a stop reason, or by an error in place of one."""

from __future__ import annotations

import json

from taskrun.adapters.agents.acp.peer import AUTH_REQUIRED, Refused
from taskrun.adapters.agents.containment.process import Ending
from taskrun.adapters.agents.verdict import failure_of
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentResult

_K = FailureKind

END_TURN = "end_turn"

#: The protocol's reasons for an end that is no success. That it was cancelled is told of a turn that nobody cancelled.
_BY_STOP_REASON = {
    "refusal": (_K.REFUSED, "The agent declined to go on."),
    "max_tokens": (_K.LIMIT_REACHED, "The agent reached its limit of tokens."),
    "max_turn_requests": (_K.LIMIT_REACHED, "The agent reached its limit of calls of the model."),
    "cancelled": (_K.AGENT_ERROR, "The agent cancelled its turn itself."),
}

#: The protocol's own, and the statuses of HTTP that some agents answer with.
_BY_CODE = {
    AUTH_REQUIRED: _K.AGENT_UNAVAILABLE,
    401: _K.AGENT_UNAVAILABLE,
    403: _K.AGENT_UNAVAILABLE,
    404: _K.AGENT_UNAVAILABLE,
    429: _K.LIMIT_REACHED,
    500: _K.AGENT_UNAVAILABLE,
    503: _K.AGENT_UNAVAILABLE,
    529: _K.AGENT_UNAVAILABLE,
}
#: What Claude's agent adds to an error, which all have the same code.
_BY_ERROR_KIND = {
    "authentication_failed": _K.AGENT_UNAVAILABLE,
    "billing_error": _K.AGENT_UNAVAILABLE,
    "overloaded": _K.AGENT_UNAVAILABLE,
    "server_error": _K.AGENT_UNAVAILABLE,
    "rate_limit": _K.LIMIT_REACHED,
}

_DATA_CHARACTERS = 1000


def failure_by(stop_reason: object) -> tuple[FailureKind | None, str]:
    """What a turn's end comes to: its failure, None for a success, and why."""
    if stop_reason == END_TURN:
        return None, ""
    if isinstance(stop_reason, str) and stop_reason in _BY_STOP_REASON:
        return _BY_STOP_REASON[stop_reason]
    return _K.BAD_OUTPUT, f"The agent ended its turn for no reason that is known: {json.dumps(stop_reason)}."


def refused(refusal: Refused, otherwise: FailureKind = _K.AGENT_ERROR) -> AgentResult:
    """The result that an error means, in the agent's words; `otherwise` if the error does not say it."""
    data = refusal.data
    kind = data.get("errorKind") if isinstance(data, dict) else None
    failure = _BY_CODE.get(refusal.code) or (_BY_ERROR_KIND.get(kind) if isinstance(kind, str) else None)
    details = json.dumps(data, ensure_ascii=False)[:_DATA_CHARACTERS] if data else ""
    return AgentResult(failure or otherwise, f"The agent answered with an error: {refusal} {details}".rstrip())


def broken_off(ending: Ending | None, errors: str) -> AgentResult:
    """The result of a conversation whose agent fell silent; `ending` is None if its program still runs."""
    failure = failure_of(ending, errors) if ending else None
    message = "\n".join(filter(None, ("The agent ended in the middle of the conversation.", errors)))
    return failure or AgentResult(_K.AGENT_ERROR, message)
