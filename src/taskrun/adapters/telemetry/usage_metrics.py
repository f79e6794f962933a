"""What runs consumed, as counters by model: each run once, when its end is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter

from taskrun.adapters.telemetry.few_labels import FewLabels
from taskrun.domain.records import Consumption

#: Models with series of their own, five each; the rest share `other`. Workers name models, and may name any.
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
    """Counts tokens and dollars. A model has all its series as soon as it has one."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._tokens = Counter("taskrun_tokens", "Tokens of runs that ended.", ["model", "kind"], registry=registry)
        self._cost = Counter("taskrun_cost_usd", "US dollars, as agents estimate.", ["model"], registry=registry)
        self._models = FewLabels(MAX_MODELS)
        self._columns: dict[str, tuple[Column, ...]] = {}

    def count(self, consumed: Mapping[str, Consumption]) -> None:
        """Adds what a run consumed, by model. What is no amount, such as a negative one, is left out."""
        for model, consumption in consumed.items():
            for counter, field in self._columns_of(self._models.label(model)):
                amount = getattr(consumption, field)
                if 0 < amount < math.inf:
                    counter.inc(amount)

    def _columns_of(self, model: str) -> tuple[Column, ...]:
        columns = self._columns.get(model)
        if columns is None:
            tokens = ((self._tokens.labels(model, kind), field) for kind, field in KINDS.items())
            columns = self._columns[model] = (*tokens, (self._cost.labels(model), "cost_usd"))
        return columns
