from __future__ import annotations

import json
from typing import Any

import pytest

from taskrun.adapters.agents.codex.stream import CodexStream
from taskrun.adapters.agents.codex.verdict import failure, given_up
from taskrun.adapters.agents.containment.process import Ending
from taskrun.domain.status import FailureKind

K = FailureKind

ANSWER = {"type": "item.completed", "item": {"type": "agent_message", "text": "yes"}}
COMPLETED = {"type": "turn.completed", "usage": {}}


def after(*events: Any) -> CodexStream:
    stream = CodexStream()
    for event in events:
        stream.read(json.dumps(event))
    return stream


def failed(message: str) -> Any:
    return {"type": "turn.failed", "error": {"message": message}}


def test_a_turn_that_completed_with_an_answer_is_a_success() -> None:
    assert failure(after(ANSWER, COMPLETED), Ending(0), "") == (None, "")


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("stream disconnected before completion: Incomplete response returned, reason: content_filter", K.REFUSED),
        ("Incomplete response returned, reason: max_output_tokens", K.LIMIT_REACHED),
        ("Codex ran out of room in the model's context window.", K.LIMIT_REACHED),
        ("Quota exceeded. Check your plan and billing details.", K.LIMIT_REACHED),
        ("exceeded retry limit, last status: 429 Too Many Requests", K.LIMIT_REACHED),
        ("unexpected status 401 Unauthorized: no, url: http://127.0.0.1/v1/responses", K.AGENT_UNAVAILABLE),
        ("unexpected status 404 Not Found: no", K.AGENT_UNAVAILABLE),
        ("Connection failed: error sending request", K.AGENT_UNAVAILABLE),
        ("We are currently experiencing high demand, which may cause temporary errors.", K.AGENT_UNAVAILABLE),
        ("stream disconnected before completion: stream closed before response.completed", K.AGENT_UNAVAILABLE),
        ("Missing environment variable: `OPENAI_API_KEY`.", K.AGENT_UNAVAILABLE),
        ('{"error": {"message": "The ticket 401 does not exist."}}', K.AGENT_ERROR),
    ],
)
def test_a_turn_that_failed_has_a_kind_by_its_words(words: str, kind: FailureKind) -> None:
    assert failure(after(failed(words)), Ending(1), "WARNING") == (kind, words)


def test_an_exit_code_counts_also_after_a_turn_that_completed() -> None:
    kind, error = failure(after(ANSWER, COMPLETED), Ending(3), "boom")
    assert (kind, error) == (K.AGENT_ERROR, "The agent's program ended with exit code 3.\nboom")


def test_a_turn_without_an_answer_is_none() -> None:
    kind, error = failure(after(COMPLETED), Ending(0), "")
    assert (kind, "without an answer" in error) == (K.BAD_OUTPUT, True)


def test_an_end_without_a_result_is_a_failure() -> None:
    assert failure(after(ANSWER), Ending(0), "why")[0] is K.AGENT_ERROR
    garbled = after(ANSWER)
    garbled.read("Segmentation fault")
    assert failure(garbled, Ending(0), "") == (K.BAD_OUTPUT, "Codex ended without a result.")


@pytest.mark.parametrize(
    ("tried", "kind"),
    [
        ((), K.AGENT_UNAVAILABLE),
        (("last status: 429 Too Many Requests",), K.LIMIT_REACHED),
        (("last status: 429 Too Many Requests", "stream disconnected"), K.AGENT_UNAVAILABLE),
    ],
)
def test_one_that_asks_its_model_in_vain_says_what_it_had_tried(tried: tuple[str, ...], kind: K) -> None:
    retries = ({"type": "error", "message": f"Reconnecting... 1/2 ({error})"} for error in tried)
    failed_by, words = given_up(after(*retries), 900)
    assert (failed_by, "900 s" in words, words.endswith("".join(tried[-1:]) or "900 s.")) == (kind, True, True)
