"""What tokens cost, by the prices in an agent's table.

They are its owner's word, and go before what the agent estimates. Where neither is there the cost is unknown: that is
said, and no guess.
"""

from __future__ import annotations

from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Annotated

import msgspec

from taskrun.domain.records import Consumption, Usage
from taskrun.domain.usage import NOTHING, parted
from taskrun.ports.agent_events import AgentEvent, UsageReported
from taskrun.ports.agents import AgentResult, AgentSink

_MILLION = 1_000_000

#: For a million tokens.
Dollars = Annotated[float, msgspec.Meta(ge=0, le=_MILLION)]


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one model's tokens cost, by kind. None: nobody says."""

    input: Dollars | None = None
    output: Dollars | None = None
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None

    def of(self, consumed: Consumption) -> float | None:
        """US dollars; None if there are tokens without a price."""
        bill = (
            (consumed.input_tokens, self.input),
            (consumed.output_tokens, self.output),
            (consumed.cache_read_tokens, self.cache_read),
            (consumed.cache_write_tokens, self.cache_write),
        )
        cost = 0.0
        for tokens, price in bill:
            if tokens and price is None:
                return None
            cost += tokens * (price or 0.0) / _MILLION
        return cost


#: By a model's name, in which `*` stands for any characters: the first that fits is the model's.
Prices = Annotated[
    dict[str, Price],
    msgspec.Meta(
        description='a table of dollars for a million tokens by model, such as { "*" = { input = 2.5, output = 10 } }; '
        "each model's may have input, output, cache_read and cache_write"
    ),
]


class Till:
    """Implements `AgentSink`: one run's, on which what it tells of its consumption gets its price."""

    def __init__(self, prices: Prices, sink: AgentSink) -> None:
        self._prices = prices
        self.text = sink.text
        self._sink = sink

    async def event(self, event: AgentEvent) -> None:
        """See `AgentSink.event`."""
        if isinstance(event, UsageReported):
            consumed = event.usage().by_model[event.model]
            event = replace(event, cost_usd=self._cost(event.model, consumed))
        await self._sink.event(event)

    def charged(self, result: AgentResult) -> AgentResult:
        """The same, with what it cost, in all and by model."""
        if result.usage is None or not self._prices:
            return result
        return replace(result, usage=self._charged(result.usage, result.backend.model_name if result.backend else ""))

    def _charged(self, usage: Usage, own: str) -> Usage:
        parts = (self._with_cost(model, part) for model, part in parted(usage, own).items())
        by_model = {model: self._with_cost(model, part) for model, part in usage.by_model.items()}
        return replace(usage, cost_usd=sum(parts, NOTHING).cost_usd, by_model=by_model)

    def _with_cost(self, model: str, consumed: Consumption) -> Consumption:
        return replace(consumed, cost_usd=self._cost(model, consumed))

    def _cost(self, model: str, consumed: Consumption) -> float | None:
        price = next((price for name, price in self._prices.items() if fnmatchcase(model, name)), None)
        cost = price.of(consumed) if price else None
        return consumed.cost_usd if cost is None else cost
