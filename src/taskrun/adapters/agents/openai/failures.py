"""What a call that failed means for the run: its kind, its words, and whether and when another try is worth it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from taskrun.adapters.agents.loose import mapping, text
from taskrun.adapters.agents.openai.waiting import asked_delay
from taskrun.domain.status import FailureKind

_K = FailureKind

#: OpenAI's own words for it; what they say goes before the status. Another provider has his own, or none.
_BY_CODE = {
    "insufficient_quota": _K.LIMIT_REACHED,
    "rate_limit_exceeded": _K.LIMIT_REACHED,
    "context_length_exceeded": _K.LIMIT_REACHED,
    "content_filter": _K.REFUSED,
    "content_policy_violation": _K.REFUSED,
    "invalid_api_key": _K.AGENT_UNAVAILABLE,
    "model_not_found": _K.AGENT_UNAVAILABLE,
    "server_error": _K.AGENT_UNAVAILABLE,
}
_BY_STATUS = {
    401: _K.AGENT_UNAVAILABLE,
    403: _K.AGENT_UNAVAILABLE,
    404: _K.AGENT_UNAVAILABLE,
    408: _K.AGENT_UNAVAILABLE,
    413: _K.LIMIT_REACHED,
    429: _K.LIMIT_REACHED,
}

#: What may be different soon. That the money is used up will not.
_PASSING = {408, 409, 429}
_LASTING = {"insufficient_quota"}

_MAX_WORDS = 1000


class CallFailed(Exception):
    """The endpoint was not to be had, or did not answer to the end. The message is for people."""

    def __init__(
        self, kind: FailureKind, message: str, *, is_passing: bool = False, delay: float | None = None
    ) -> None:
        super().__init__(message)
        self.kind = kind
        #: Another try may go better,
        self.is_passing = is_passing
        #: so many seconds later, as the endpoint says; None if it says nothing.
        self.delay = delay


def refused(status: int, headers: Mapping[str, str], body: str, now: float) -> CallFailed:
    """An answer with another status than 200. `now` is in seconds since 1970. Names of headers are in lower case."""
    code, words = error_in(body)
    delay = asked_delay(headers, now)
    resets = f" The limit is reset at {_moment(now + delay)}." if status == 429 and delay is not None else ""
    message = f"The endpoint answered {status}: {words}{resets}"
    is_passing = (status in _PASSING or status >= 500) and code not in _LASTING
    return CallFailed(_kind(status, code), message, is_passing=is_passing, delay=delay)


def told(error: Any) -> CallFailed:
    """An error that came inside a stream."""
    code, words = _told(error)
    kind = _BY_CODE.get(code, _K.AGENT_UNAVAILABLE)
    passing = kind is _K.AGENT_UNAVAILABLE or code == "rate_limit_exceeded"
    return CallFailed(kind, f"The endpoint broke its answer off: {words}", is_passing=passing)


def error_in(body: str) -> tuple[str, str]:
    """The code and the words of an error, from a body that may be anything."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return "", _short(body)
    inner = mapping(value).get("error")
    return _told(inner if inner is not None else value)


def _told(error: Any) -> tuple[str, str]:
    fields = mapping(error)
    code = text(fields.get("code")) or text(fields.get("type"))
    return code, _short(text(fields.get("message")) or text(error) or code)


def _kind(status: int, code: str) -> FailureKind:
    known = _BY_CODE.get(code) or _BY_STATUS.get(status)
    # A redirect is not followed: nobody is there.
    return known or (_K.AGENT_UNAVAILABLE if status >= 500 or status < 400 else _K.AGENT_ERROR)


def _moment(seconds: float) -> str:
    """Whoever reads this may do so much later."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _short(words: str) -> str:
    plain = " ".join(words.split()) or "no reason given."
    return plain if len(plain) <= _MAX_WORDS else f"{plain[:_MAX_WORDS]} ..."
