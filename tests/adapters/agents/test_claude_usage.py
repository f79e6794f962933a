from __future__ import annotations

from typing import Any

import pytest

from taskrun.adapters.agents.claude_usage import session_usage
from taskrun.domain.records import Consumption, Usage

OPUS = {
    "inputTokens": 100,
    "outputTokens": 20,
    "cacheReadInputTokens": 3,
    "cacheCreationInputTokens": 4,
    "costUSD": 0.5,
}
RESULT = {
    "usage": {"input_tokens": 100, "output_tokens": 20, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4},
    "total_cost_usd": 0.75,
}


def test_every_model_of_a_session_counts_also_a_sub_agent_s() -> None:
    told = {
        **RESULT,
        "modelUsage": {"opus": {**OPUS, "contextWindow": 200}, "haiku": {"inputTokens": 7, "costUSD": 0.25}},
    }
    opus, haiku = Consumption(100, 20, 3, 4, 0.5), Consumption(7, cost_usd=0.25)
    assert session_usage(told) == Usage(107, 20, 3, 4, 0.75, {"opus": opus, "haiku": haiku})


def test_a_session_that_tells_no_models_has_a_sum() -> None:
    assert session_usage({**RESULT, "modelUsage": {"opus": {"contextWindow": 200}}}) == Usage(100, 20, 3, 4, 0.75)


@pytest.mark.parametrize("odd", [None, "12", -1, [], {}, float("nan"), float("inf"), 2**70])
def test_what_is_no_amount_is_none(odd: Any) -> None:
    told = {"usage": {"input_tokens": odd}, "total_cost_usd": odd, "modelUsage": {"opus": odd, "x": {"costUSD": odd}}}
    assert session_usage(told) == session_usage({"usage": odd, "modelUsage": odd}) == Usage()
