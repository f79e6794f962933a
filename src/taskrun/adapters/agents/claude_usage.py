"""What a run consumed, from the CLI's words.

In the last one (`result`) the CLI counts in three ways. `usage` is this run's, but only what the conversation itself
took: what sub-agents and other models did is not in it. `modelUsage` and `total_cost_usd` have every model, but count
from the session's beginning, over all its runs, also over those of a session that this one is a fork of.
`model_usage_since_last_result` has every model for this run alone; older CLIs have no such thing. Costs are the CLI's
estimates.

While the run is under way each message has its tokens: what it used is known also of a run that never comes to a last
word, but for sub-agents and costs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from taskrun.adapters.agents.loose import amount, mapping, number
from taskrun.domain.records import Consumption, Usage
from taskrun.domain.usage import NOTHING, usage_of
from taskrun.ports.agent_events import UsageReported

#: The tokens of a `Consumption`, as `modelUsage` and `usage` call them.
_BY_MODEL = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
_IN_ALL = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def run_usage(result: Mapping[str, Any], model: str, *, goes_on: bool) -> Usage:
    """What this run consumed. `model` is the one it spoke with; `goes_on` tells that its session had runs before."""
    own = result.get("model_usage_since_last_result")
    if not isinstance(own, dict) and not goes_on:
        own = result.get("modelUsage")
    models = ((name, mapping(told)) for name, told in mapping(own).items())
    by_model = {name: _consumed(told, _BY_MODEL, told.get("costUSD")) for name, told in models}
    if not all(consumed.is_nothing for consumed in by_model.values()):
        return usage_of(by_model)
    # What it cost is known only of a session that had no runs before.
    cost = None if goes_on else result.get("total_cost_usd")
    consumed = _consumed(mapping(result.get("usage")), _IN_ALL, cost)
    return usage_of({} if consumed.is_nothing else {model: consumed})


class Meter:
    """Counts while the run is under way."""

    def __init__(self) -> None:
        #: What it has counted.
        self.read = NOTHING
        self._asked: Mapping[str, Any] = {}

    def begin(self, message: Mapping[str, Any]) -> None:
        """An answer begins, and tells what it was asked with."""
        self._asked = mapping(message.get("usage"))

    def end(self, usage: Mapping[str, Any], model: str) -> UsageReported:
        """It ends, and tells how long it was: what the run consumed so far."""
        self.read += _consumed({**self._asked, **usage}, _IN_ALL, None)
        return reported(self.read, model)


def reported(consumed: Consumption, model: str) -> UsageReported:
    """As an event."""
    return UsageReported(
        model,
        consumed.input_tokens,
        consumed.output_tokens,
        consumed.cache_read_tokens,
        consumed.cache_write_tokens,
        consumed.cost_usd,
    )


def _consumed(told: Mapping[str, Any], tokens: Iterable[str], cost: Any) -> Consumption:
    input, output, cache_read, cache_write = (number(told.get(name)) for name in tokens)
    return Consumption(input, output, cache_read, cache_write, amount(cost))
