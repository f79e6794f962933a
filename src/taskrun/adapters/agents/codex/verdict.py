"""How a Codex run went.

Only a turn that completed with an answer, from a CLI that then exits with 0, is a success. Why another failed is told
in words for people alone, in those of Codex's `CodexErr`.
"""

from __future__ import annotations

import re

from taskrun.adapters.agents.codex.stream import CodexStream
from taskrun.adapters.agents.containment.process import Ending
from taskrun.adapters.agents.verdict import failure_of
from taskrun.domain.status import FailureKind

_K = FailureKind

#: The first that is found in the error decides.
_BY_WORDS = (
    (r"reason: content_filter", _K.REFUSED),
    (r"reason: max_output_tokens|context window|quota exceeded|usage limit|rate limit|status:? 429", _K.LIMIT_REACHED),
    (r"unexpected status (401|403|404|408|5\d\d)", _K.AGENT_UNAVAILABLE),
    (r"connection failed|stream disconnected|timeout|timed out|high demand|at capacity", _K.AGENT_UNAVAILABLE),
    (r"missing environment variable", _K.AGENT_UNAVAILABLE),
)

_NO_ANSWER = "Codex ended its turn without an answer. It does so, too, when the model refuses."


def failure(stream: CodexStream, ending: Ending, errors: str) -> tuple[FailureKind | None, str]:
    """Its kind, None for a success, and its words. `errors` is the end of what the CLI wrote to standard error."""
    if stream.error:
        return _kind(stream.error), stream.error
    if failed := failure_of(ending, errors):
        return failed.failure, failed.error
    if not stream.completed:
        kind = _K.BAD_OUTPUT if stream.garbled else _K.AGENT_ERROR
        return kind, f"Codex ended without a result. {errors}".strip()
    return (None, "") if stream.answered else (_K.BAD_OUTPUT, _NO_ANSWER)


def given_up(stream: CodexStream, seconds: float) -> tuple[FailureKind, str]:
    """The same for one that asks its model in vain, and says nothing of it."""
    before = f" It had tried before: {stream.trouble}" if stream.trouble else ""
    message = f"Codex had no answer of its model for {seconds:g} s.{before}"
    return (_kind(stream.trouble) if stream.trouble else _K.AGENT_UNAVAILABLE), message


def _kind(error: str) -> FailureKind:
    found = (kind for words, kind in _BY_WORDS if re.search(words, error, re.IGNORECASE))
    return next(found, _K.AGENT_ERROR)
