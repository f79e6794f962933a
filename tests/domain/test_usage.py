"""What runs consume: nothing is counted twice, and nothing that was told is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.domain.records import Consumption, ModelBackend, Run, Usage
from taskrun.domain.status import RunStatus
from taskrun.domain.usage import (
    MAX_AMOUNT,
    MAX_MODEL_NAME,
    MAX_MODELS,
    bounded,
    consumed_by,
    since,
    together,
    told_in,
    total,
    usage_of,
)

BIG, SMALL = Consumption(100, 20, 3, 4, 0.5), Consumption(10, 2, 0, 0, 0.01)


def run(usage: Usage | None, model: str = "big") -> Run:
    return Run("r", "w", RunStatus.COMPLETED, 1, backend=ModelBackend("p", model), usage=usage)


def test_models_make_a_usage_together() -> None:
    assert usage_of({"big": BIG, "small": SMALL}) == Usage(110, 22, 3, 4, 0.51, {"big": BIG, "small": SMALL})
    assert usage_of({}) == Usage()


def test_what_nobody_claims_is_the_run_s_own_model_s() -> None:
    assert consumed_by(run(Usage(100, 20, 3, 4, 0.5))) == {"big": BIG}
    helper = Usage(110, 22, 3, 4, 0.51, {"small": SMALL})
    assert consumed_by(run(helper)) == {"small": SMALL, "big": BIG}
    assert consumed_by(run(helper, "small")) == {"small": BIG + SMALL}


def test_a_run_without_a_model_has_one_that_is_unknown() -> None:
    assert consumed_by(run(Usage(1), "")) == consumed_by(Run("r", "w", RunStatus.FAILED, 1, usage=Usage(1)))
    assert set(consumed_by(run(Usage(1), ""))) == {"unknown"}


def test_who_told_nothing_consumed_nothing() -> None:
    assert consumed_by(run(None)) == {}
    assert consumed_by(run(Usage())) == {}
    assert total([run(None)]) is None


def test_the_order_of_a_sum_of_estimates_makes_no_rest() -> None:
    thirds = {name: Consumption(cost_usd=cost) for name, cost in (("a", 0.1), ("b", 0.2), ("c", 0.3))}
    assert set(consumed_by(run(Usage(cost_usd=0.3 + 0.2 + 0.1, by_model=thirds)))) == set("abc")


def test_models_that_claim_more_than_the_whole_leave_nothing() -> None:
    assert consumed_by(run(Usage(1, by_model={"small": SMALL}))) == {"small": SMALL}


def test_the_runs_of_a_task_are_summed_by_model() -> None:
    runs = [run(usage_of({"big": BIG, "small": SMALL})), run(None), run(Usage(100, 20, 3, 4, 0.5))]
    assert total(runs) == Usage(210, 42, 6, 8, 1.01, {"big": BIG + BIG, "small": SMALL})


def test_a_run_in_a_session_consumed_what_the_session_did_meanwhile() -> None:
    before, now = usage_of({"big": BIG, "old": SMALL}), usage_of({"big": BIG + SMALL, "old": SMALL, "new": SMALL})
    spent = since(before, now)
    assert (set(spent.by_model), spent.by_model["new"]) == ({"big", "new"}, SMALL)
    assert (spent.input_tokens, spent.by_model["big"].input_tokens) == (20, 10)
    assert spent.by_model["big"].cost_usd == pytest.approx(0.01)
    assert since(now, now) == since(now, before) == Usage(cost_usd=0)
    assert since(Usage(), now) == now


def test_more_models_than_are_told_apart_are_others() -> None:
    told = usage_of({f"m{n}": SMALL for n in range(MAX_MODELS + 10)})
    kept = bounded(told).by_model
    assert list(kept) == [*(f"m{n}" for n in range(MAX_MODELS)), "other"]
    assert kept["other"].input_tokens == 100


def test_names_have_a_length_and_are_something() -> None:
    told = usage_of({"x" * 500: SMALL, "x" * 600: SMALL, "": SMALL})
    assert bounded(told).by_model == {"x" * MAX_MODEL_NAME: SMALL + SMALL, "unknown": SMALL}


@pytest.mark.parametrize("amount", [-1, MAX_AMOUNT + 1, 10**400, float("nan"), float("inf"), -0.5])
def test_what_is_no_amount_is_nothing(amount: float) -> None:
    told = Usage(1, 2, 3, 4, amount, {"big": Consumption(amount, 2, 3, 4, amount)})  # type: ignore[arg-type]
    assert bounded(told) == Usage(1, 2, 3, 4, None, {"big": Consumption(0, 2, 3, 4, None)})


def test_the_largest_amount_is_one() -> None:
    assert bounded(Usage(MAX_AMOUNT)).input_tokens == MAX_AMOUNT


def test_what_a_run_says_on_the_way_is_read_from_its_event() -> None:
    metadata = {"model": "big", "input_tokens": "100", "output_tokens": "20", "cost_usd": "0.5"}
    assert told_in(metadata) == Usage(100, 20, 0, 0, 0.5, {"big": Consumption(100, 20, 0, 0, 0.5)})
    assert told_in({"cost_usd": "0.5"}) == Usage(cost_usd=0.5)
    assert told_in({"model": "big", "input_tokens": "0"}) is told_in({}) is None


@pytest.mark.parametrize("text", ["many", "", "1.5", "-1", "9" * 400, "9" * 5000, "nan"])
def test_what_is_no_amount_in_an_event_is_nothing(text: str) -> None:
    told = told_in({"input_tokens": text, "output_tokens": "2", "cost_usd": "nan"})
    assert told == Usage(output_tokens=2)


#: All that a run's models may have used together is an amount, too.
amounts = st.integers(0, 2**40)
consumptions = st.builds(Consumption, amounts, amounts, amounts, amounts)
usages = st.builds(
    Usage, amounts, amounts, amounts, amounts, by_model=st.dictionaries(st.text(max_size=2), consumptions)
)


@given(usages)
def test_no_token_is_lost_by_telling_models_apart(usage: Usage) -> None:
    kept = bounded(usage)
    assert len(kept.by_model) <= MAX_MODELS + 1
    for told, shown in ((usage.by_model, kept.by_model), (consumed_by(run(usage)), consumed_by(run(kept)))):
        assert sum(part.input_tokens for part in told.values()) == sum(part.input_tokens for part in shown.values())


def test_two_turns_consume_what_each_did_by_model() -> None:
    first = Usage(3, 1, cost_usd=0.25, by_model={"a": Consumption(2), "b": Consumption(1)})
    second = Usage(10, cost_usd=0.5, by_model={"a": Consumption(10)})
    assert together(first, second) == Usage(13, 1, cost_usd=0.75, by_model={"a": Consumption(12), "b": Consumption(1)})
    assert (together(first, None), together(None, second), together(None, None)) == (first, second, None)


def test_a_sum_has_a_cost_if_each_of_its_parts_has_one() -> None:
    known, free, unknown = Consumption(1, cost_usd=0.5), Consumption(1, cost_usd=0), Consumption(1)
    assert (known + free).cost_usd == 0.5
    assert (free + free).cost_usd == 0
    assert (known + unknown).cost_usd is (unknown + unknown).cost_usd is None


def test_what_is_nothing_cost_nothing() -> None:
    assert Consumption() + BIG == BIG + Consumption() == BIG
    assert total([run(Usage()), run(Usage(1, cost_usd=0.5))]) == Usage(
        1, cost_usd=0.5, by_model={"big": Consumption(1, cost_usd=0.5)}
    )


def test_models_of_unknown_cost_leave_the_cost_of_the_whole_to_the_runs_own() -> None:
    told = Usage(12, cost_usd=0.5, by_model={"small": Consumption(10)})
    assert consumed_by(run(told)) == {"small": Consumption(10), "big": Consumption(2, cost_usd=0.5)}
    assert consumed_by(run(Usage(12, by_model={"small": SMALL})))["big"].cost_usd is None
