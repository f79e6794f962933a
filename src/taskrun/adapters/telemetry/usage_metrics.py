"""What runs consumed, as counters by model: each run once, when its end is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter

from taskrun.adapters.telemetry.few_labels import FewLabels
from taskrun.domain.records import Consumption

#: Models with series of their own, up to five each; the rest share `other`. Workers name models, and may name any.
MAX_MODELS = 50
#: The label value of each kind of token, and where it is counted.
KINDS = {
    "input": "input_tokens",
    "output": "output_tokens",
    "cache_read": "cache_read_tokens",
    "cache_write": "cache_write_tokens",
}

#: A counter, and the field of a `Consumption` that is added to it.
Column = tuple[Counter, str]


class UsageMetrics:
    """Counts tokens and dollars. A model has its series of tokens as soon as it has one, and that of dollars when it is
    known what something of it cost: 0 would say that it is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tokens = Counter("taskrun_tokens", "Tokens of runs that ended.", ["model", "kind"], registry=registry)
        self._cost = Counter(
            "taskrun_cost_usd", "US dollars, estimated, as far as known.", ["model"], registry=registry
        )
        self._models = FewLabels(MAX_MODELS)
        self._columns: dict[str, tuple[Column, ...]] = {}
        self._dollars: dict[str, Counter] = {}

    def count(self, consumed: Mapping[str, Consumption]) -> None:
        """Adds what a run consumed, by model. A cost that is unknown, and what is no amount, is left out."""
        for model, consumption in consumed.items():
            label = self._models.label(model)
            for counter, field in self._columns_of(label):
                amount = getattr(consumption, field)
                if 0 < amount < math.inf:
                    counter.inc(amount)
            cost = consumption.cost_usd
            if cost is not None and 0 <= cost < math.inf:
                self._dollars_of(label).inc(cost)

    def _columns_of(self, model: str) -> tuple[Column, ...]:
        columns = self._columns.get(model)
        if columns is None:
            tokens = ((self._tokens.labels(model, kind), field) for kind, field in KINDS.items())
            columns = self._columns[model] = tuple(tokens)
        return columns

    def _dollars_of(self, model: str) -> Counter:
        dollars = self._dollars.get(model)
        if dollars is None:
            dollars = self._dollars[model] = self._cost.labels(model)
        return dollars
