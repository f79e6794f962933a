from __future__ import annotations

import json
from typing import Any

import pytest

from taskrun.adapters.agents.openai.failures import refused, told
from taskrun.domain.status import FailureKind

K = FailureKind


def body(message: str = "no", code: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": "x", "param": None, "code": code}})


@pytest.mark.parametrize(
    ("status", "code", "kind", "is_passing"),
    [
        (301, None, K.AGENT_UNAVAILABLE, False),
        (400, None, K.AGENT_ERROR, False),
        (400, "context_length_exceeded", K.LIMIT_REACHED, False),
        (400, "content_filter", K.REFUSED, False),
        (401, "invalid_api_key", K.AGENT_UNAVAILABLE, False),
        (403, None, K.AGENT_UNAVAILABLE, False),
        (404, "model_not_found", K.AGENT_UNAVAILABLE, False),
        (408, None, K.AGENT_UNAVAILABLE, True),
        (413, None, K.LIMIT_REACHED, False),
        (429, "rate_limit_exceeded", K.LIMIT_REACHED, True),
        (429, "insufficient_quota", K.LIMIT_REACHED, False),
        (500, "server_error", K.AGENT_UNAVAILABLE, True),
        (503, None, K.AGENT_UNAVAILABLE, True),
    ],
)
def test_an_http_error_is_a_failure_of_a_kind(
    status: int, code: str | None, kind: FailureKind, is_passing: bool
) -> None:
    failure = refused(status, {}, body(code=code), 0.0)
    assert (failure.kind, failure.is_passing) == (kind, is_passing)
    assert str(failure) == f"The endpoint answered {status}: no"


def test_a_limit_says_when_it_is_reset() -> None:
    failure = refused(429, {"retry-after": "90"}, body("Slow down."), 1_800_000_000.0)
    assert str(failure) == "The endpoint answered 429: Slow down. The limit is reset at 2027-01-15 08:01:30 UTC."
    assert failure.delay == 90.0


@pytest.mark.parametrize("seconds", ["1000000000000", "1" + "0" * 20])
def test_a_limit_that_no_calendar_has_is_one_all_the_same(seconds: str) -> None:
    failure = refused(429, {"retry-after": seconds}, body("Slow down."), 1_800_000_000.0)
    assert (failure.kind, str(failure)[:38]) == (K.LIMIT_REACHED, "The endpoint answered 429: Slow down. ")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "no reason given."),
        ("<html>Bad\n gateway</html>", "<html>Bad gateway</html>"),
        ('{"error": "model not loaded"}', "model not loaded"),
        ('{"message": "flat", "code": "x"}', "flat"),
        ('{"error": {"code": "odd"}}', "odd"),
        ("[1]", "no reason given."),
        ("[" * 10_000, "[" * 1000 + " ..."),
    ],
    ids=["empty", "html", "text", "flat", "code", "list", "deep"],
)
def test_an_error_may_have_any_form(body: str, words: str) -> None:
    assert str(refused(500, {}, body, 0.0)) == f"The endpoint answered 500: {words}"


@pytest.mark.parametrize(
    ("error", "kind", "is_passing"),
    [
        ({"code": "server_error", "message": "x"}, K.AGENT_UNAVAILABLE, True),
        ({"code": "rate_limit_exceeded", "message": "x"}, K.LIMIT_REACHED, True),
        ({"code": "insufficient_quota", "message": "x"}, K.LIMIT_REACHED, False),
        ({"message": "x"}, K.AGENT_UNAVAILABLE, True),
        ("x", K.AGENT_UNAVAILABLE, True),
    ],
)
def test_an_error_may_come_inside_the_stream(error: Any, kind: FailureKind, is_passing: bool) -> None:
    failure = told(error)
    assert (failure.kind, failure.is_passing) == (kind, is_passing)
    assert str(failure) == "The endpoint broke its answer off: x"
