"""How a Claude Code session went.

Only a result that is no error, from a CLI that then exits with 0, is a success. The CLI's `subtype` says "success" of
API errors too, and its exit code has been 0 for failures: `is_error` is what counts, the rest says why.
"""

from __future__ import annotations

from taskrun.adapters.agents.claude_sayings import Concluded
from taskrun.adapters.agents.claude_stream import ClaudeStream
from taskrun.adapters.agents.containment.process import Ending
from taskrun.adapters.agents.verdict import failure_of
from taskrun.domain.records import ModelBackend
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentResult

PROVIDER = "anthropic"

_K = FailureKind

#: The first of these that knows the word decides.
_BY_STOP_REASON = {"refusal": _K.REFUSED}
_BY_SUBTYPE = {
    "error_max_turns": _K.LIMIT_REACHED,
    "error_max_budget_usd": _K.LIMIT_REACHED,
    "error_max_structured_output_retries": _K.BAD_OUTPUT,
}
_BY_API_STATUS = {
    401: _K.AGENT_UNAVAILABLE,
    403: _K.AGENT_UNAVAILABLE,
    404: _K.AGENT_UNAVAILABLE,
    408: _K.AGENT_UNAVAILABLE,
    413: _K.LIMIT_REACHED,
    429: _K.LIMIT_REACHED,
}
_BY_TERMINAL_REASON = {
    "max_turns": _K.LIMIT_REACHED,
    "prompt_too_long": _K.LIMIT_REACHED,
}

#: The directory is here, the transcript in it is not: the session's home was emptied.
_NO_SESSION = "No conversation found"


def verdict(stream: ClaudeStream, conclusion: Concluded | None, ending: Ending | None, errors: str) -> AgentResult:
    """The run's result, from the session's last word and the CLI's end; None if that was not waited for."""
    failed = failure_of(ending, errors) if ending else None
    if conclusion is None:
        return failed or AgentResult(_silence(stream), _because("Claude Code ended without a result.", errors))
    failure, error = None, ""
    if conclusion.is_error:
        failure, error = _kind(conclusion), conclusion.text or conclusion.subtype
    elif conclusion.turns == 0:
        failure, error = _K.AGENT_ERROR, f"The model was not asked: {conclusion.text}"
    elif failed:
        failure, error = failed.failure, failed.error
    backend = ModelBackend(PROVIDER, conclusion.model, conclusion.context_window, supports_streaming=True)
    return AgentResult(failure, error, backend, conclusion.usage, conclusion.session_id)


def _kind(conclusion: Concluded) -> FailureKind:
    status = conclusion.api_status
    return (
        _BY_STOP_REASON.get(conclusion.stop_reason)
        or _BY_SUBTYPE.get(conclusion.subtype)
        or _BY_TERMINAL_REASON.get(conclusion.terminal_reason)
        or _BY_API_STATUS.get(status)
        or (_K.AGENT_UNAVAILABLE if conclusion.text.startswith(_NO_SESSION) else None)
        # The endpoint is in trouble, or there was no answer from it at all.
        or (_K.AGENT_UNAVAILABLE if status >= 500 or _unanswered(conclusion) else _K.AGENT_ERROR)
    )


def _unanswered(conclusion: Concluded) -> bool:
    return conclusion.terminal_reason == "api_error" and conclusion.api_status == 0


def _silence(stream: ClaudeStream) -> FailureKind:
    return _K.BAD_OUTPUT if stream.garbled else _K.AGENT_ERROR


def _because(what: str, errors: str) -> str:
    return f"{what} {errors}".strip()
