from __future__ import annotations

from typing import Any

import pytest

from taskrun.adapters.agents.claude_sayings import Concluded
from taskrun.adapters.agents.claude_stream import ClaudeStream
from taskrun.adapters.agents.claude_verdict import verdict
from taskrun.adapters.agents.containment.process import KILLED, Ending
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentResult

FINE = Ending(0)


def judged(ending: Ending = FINE, **conclusion: Any) -> AgentResult:
    return verdict(ClaudeStream(), Concluded(**{"is_error": True, "text": "why", "turns": 1, **conclusion}), ending, "")


def test_a_result_without_error_and_a_clean_exit_are_success() -> None:
    result = judged(is_error=False, model="opus", context_window=200, session_id="s")
    assert (result.failure, result.error, result.session_id) == (None, "", "s")
    assert result.backend is not None
    assert (result.backend.provider, result.backend.model_name) == ("anthropic", "opus")


@pytest.mark.parametrize(
    ("conclusion", "kind"),
    [
        ({"stop_reason": "refusal", "terminal_reason": "api_error"}, FailureKind.REFUSED),
        ({"subtype": "error_max_turns"}, FailureKind.LIMIT_REACHED),
        ({"terminal_reason": "prompt_too_long", "api_status": 400}, FailureKind.LIMIT_REACHED),
        ({"api_status": 401}, FailureKind.AGENT_UNAVAILABLE),
        ({"api_status": 429}, FailureKind.LIMIT_REACHED),
        ({"api_status": 500}, FailureKind.AGENT_UNAVAILABLE),
        ({"api_status": 529}, FailureKind.AGENT_UNAVAILABLE),
        ({"api_status": 400, "terminal_reason": "api_error"}, FailureKind.AGENT_ERROR),
        ({"terminal_reason": "api_error"}, FailureKind.AGENT_UNAVAILABLE),
        ({"subtype": "error_during_execution"}, FailureKind.AGENT_ERROR),
        ({"subtype": "success"}, FailureKind.AGENT_ERROR),
        ({"subtype": "error_during_execution", "text": "why"}, FailureKind.AGENT_ERROR),
    ],
)
def test_an_error_with_exit_code_0_is_a_failure_of_its_kind(conclusion: dict[str, Any], kind: FailureKind) -> None:
    result = judged(FINE, **conclusion)
    assert (result.failure, result.error) == (kind, "why")


def test_a_result_without_error_but_a_bad_exit_is_a_failure() -> None:
    assert judged(Ending(2), is_error=False).failure is FailureKind.AGENT_ERROR


def test_an_answer_for_which_the_model_was_never_asked_is_a_failure() -> None:
    assert judged(is_error=False, turns=0).failure is FailureKind.AGENT_ERROR


@pytest.mark.parametrize("ending", [FINE, Ending(1), Ending(-9), KILLED])
def test_no_result_is_a_failure_whatever_the_exit_code(ending: Ending) -> None:
    result = verdict(ClaudeStream(), None, ending, "the end of stderr")
    assert result.failure is FailureKind.AGENT_ERROR
    assert "the end of stderr" in result.error


def test_no_result_but_something_unreadable_is_bad_output() -> None:
    stream = ClaudeStream()
    stream.read("Segmentation fault")
    assert verdict(stream, None, FINE, "").failure is FailureKind.BAD_OUTPUT
