from __future__ import annotations

from typing import Any

import pytest

from taskrun.adapters.agents.claude_usage import Meter, run_usage
from taskrun.domain.records import Consumption, Usage
from taskrun.ports.agent_events import UsageReported


def counts(number: int, cost: float) -> dict[str, Any]:
    return {
        "inputTokens": number,
        "outputTokens": number + 1,
        "cacheReadInputTokens": number + 2,
        "cacheCreationInputTokens": number + 3,
        "costUSD": cost,
        "contextWindow": 200,
    }


MAIN = {"input_tokens": 1, "output_tokens": 2, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 4}
#: A session that had a run before; the main model had help from a small one.
RESULT: dict[str, Any] = {
    "usage": MAIN,
    "total_cost_usd": 9.0,
    "modelUsage": {"opus": counts(100, 6.0), "haiku": counts(200, 3.0)},
    "model_usage_since_last_result": {"opus": counts(1, 0.5), "haiku": counts(10, 0.25)},
}
OPUS, HAIKU = Consumption(1, 2, 3, 4, 0.5), Consumption(10, 11, 12, 13, 0.25)


@pytest.mark.parametrize("goes_on", [True, False])
def test_all_models_count_and_of_a_session_this_run_alone(goes_on: bool) -> None:
    usage = run_usage(RESULT, "opus", goes_on=goes_on)
    assert usage == Usage(11, 13, 15, 17, 0.75, {"opus": OPUS, "haiku": HAIKU})


def without(*keys: str) -> dict[str, Any]:
    return {key: value for key, value in RESULT.items() if key not in keys}


OLDER = without("model_usage_since_last_result")


def test_an_older_cli_counts_a_fresh_session_from_its_beginning() -> None:
    usage = run_usage(OLDER, "opus", goes_on=False)
    assert (usage.cost_usd, usage.by_model["haiku"].cost_usd) == (9.0, 3.0)


def test_of_a_session_that_goes_on_an_older_cli_tells_the_main_models_tokens_and_no_cost() -> None:
    tokens = Consumption(1, 2, 3, 4)
    assert run_usage(OLDER, "opus", goes_on=True) == Usage(1, 2, 3, 4, None, {"opus": tokens})


def test_a_result_that_tells_no_models_has_a_sum() -> None:
    oldest = without("model_usage_since_last_result", "modelUsage")
    assert run_usage(oldest, "opus", goes_on=False).by_model == {"opus": Consumption(1, 2, 3, 4, 9.0)}


@pytest.mark.parametrize("goes_on", [True, False])
@pytest.mark.parametrize("odd", [None, "12", -1, [], {}, float("nan"), float("inf"), {"opus": {"costUSD": "much"}}])
def test_what_is_no_amount_is_none(odd: Any, goes_on: bool) -> None:
    for told in (dict.fromkeys(RESULT, odd), {"usage": {"input_tokens": odd}, "total_cost_usd": odd}):
        assert run_usage(told, "opus", goes_on=goes_on) == Usage()


def test_a_run_under_way_has_what_its_messages_took() -> None:
    meter = Meter()
    meter.begin({"usage": {**MAIN, "output_tokens": 1}})
    assert meter.end({"output_tokens": 20}, "opus") == UsageReported("opus", 1, 20, 3, 4)
    meter.begin({})
    assert meter.end({"output_tokens": 5}, "opus") == UsageReported("opus", 1, 25, 3, 4)
