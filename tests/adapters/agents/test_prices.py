"""What a run cost: by its owner's prices, else by its agent's word, else nobody knows."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.adapters.agents.execution import executed
from taskrun.adapters.agents.prices import Price
from taskrun.domain.records import Consumption, ModelBackend, Usage
from taskrun.ports.agent_events import UsageReported
from taskrun.ports.agents import AgentResult, AgentSink
from taskrun.testing.recording_sink import RecordingSink

LARGE = {"input": 2.0, "output": 10.0, "cache_read": 0.5, "cache_write": 4.0}


async def charged(prices: dict[str, Any], usage: Usage | None, own: str = "large") -> Usage | None:
    """What a run has consumed whose agent told this."""
    definition = msgspec.convert({"name": "a", "kind": "command", "prices": prices}, AgentDefinition)

    async def work(sink: AgentSink) -> AgentResult:
        return AgentResult(usage=usage, backend=ModelBackend("p", own) if own else None)

    return (await executed(definition, "", RecordingSink(), work)).usage


async def cost(prices: dict[str, Any], usage: Usage, own: str = "large") -> float | None:
    usage_charged = await charged(prices, usage, own)
    assert usage_charged is not None
    return usage_charged.cost_usd


async def test_each_kind_of_token_has_its_price() -> None:
    million = 1_000_000
    assert await cost({"large": LARGE}, Usage(million)) == 2.0
    assert await cost({"large": LARGE}, Usage(million, million, million, million)) == 16.5
    assert await cost({"large": LARGE}, Usage(500)) == pytest.approx(0.001)


async def test_without_a_price_the_agents_word_counts_and_without_one_nobody_knows() -> None:
    assert await cost({}, Usage(1, cost_usd=0.5)) == 0.5
    assert await cost({"small": LARGE}, Usage(1, cost_usd=0.5)) == 0.5
    assert await cost({"small": LARGE}, Usage(1)) is None
    assert await cost({}, Usage(1)) is None


async def test_a_price_goes_before_the_agents_word() -> None:
    assert await cost({"large": LARGE}, Usage(500_000, cost_usd=0.25)) == 1.0


async def test_tokens_that_have_no_price_leave_it_unknown_if_there_are_any() -> None:
    some = {"large": {"input": 2.0, "output": 10.0}}
    assert await cost(some, Usage(500_000)) == 1.0
    assert await cost(some, Usage(500_000, cache_read_tokens=1)) is None


async def test_what_is_free_is_known_to_be() -> None:
    assert await cost({"*": {"input": 0, "output": 0}}, Usage(7, 3)) == 0.0


async def test_a_models_price_is_the_first_whose_name_fits() -> None:
    prices = {"large-2": {"input": 1.0}, "large*": {"input": 2.0}, "*": {"input": 3.0}}
    models = ("large-2", "large-2-2026", "small")
    assert [await cost(prices, Usage(1_000_000), model) for model in models] == [1.0, 2.0, 3.0]


async def test_an_agent_without_a_model_has_the_price_of_any() -> None:
    assert await cost({"large": LARGE}, Usage(1), own="") is None
    assert await cost({"*": LARGE}, Usage(1_000_000), own="") == 2.0


async def test_each_of_several_models_has_its_own() -> None:
    small = Consumption(1_000_000)
    both = Usage(2_000_000, by_model={"small": small})
    usage = await charged({"large": LARGE, "small": {"input": 0.5}}, both)
    assert usage == Usage(2_000_000, cost_usd=2.5, by_model={"small": Consumption(1_000_000, cost_usd=0.5)})
    assert await cost({"large": LARGE}, both) is None


async def test_a_run_that_told_nothing_has_no_cost() -> None:
    assert await charged({"*": LARGE}, None) is None


async def test_what_is_told_on_the_way_has_its_price_too() -> None:
    definition = msgspec.convert({"name": "a", "kind": "command", "prices": {"large": LARGE}}, AgentDefinition)
    sink = RecordingSink()

    async def work(sink: AgentSink) -> AgentResult:
        await sink.text("said")
        await sink.event(UsageReported("large", 500_000))
        await sink.event(UsageReported("other", 500_000, cost_usd=0.25))
        return AgentResult()

    await executed(definition, "", sink, work)
    assert sink.output == "said"
    assert [told.cost_usd for told in sink.those(UsageReported)] == [1.0, 0.25]


@pytest.mark.parametrize("price", [{"input": -1}, {"input": float("nan")}, {"output": float("inf")}, {"per_call": 1}])
def test_what_is_no_price_is_refused(price: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError, match="prices"):
        msgspec.convert({"name": "a", "kind": "command", "prices": {"large": price}}, AgentDefinition)


def test_a_price_is_unknown_where_it_is_not_said() -> None:
    assert Price().of(Consumption()) == 0.0
    assert Price().of(Consumption(1)) is None
