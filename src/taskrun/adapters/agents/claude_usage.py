"""What a Claude Code session has consumed, by the last word that it says (`result`).

`modelUsage` has every model, those of sub-agents and of small chores among them; `usage` only what the conversation
itself took. Costs are the CLI's estimates. A session that goes on from an earlier one, also as a fork of it, has in
`modelUsage` and `total_cost_usd` what that had consumed as well: a run that resumes takes what the session had when it
began from what it has at the end (`taskrun.domain.usage.since`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from taskrun.domain.records import Consumption, Usage
from taskrun.domain.usage import NOTHING, usage_of

C = TypeVar("C", bound=Consumption)

#: The tokens of a `Consumption`, as `modelUsage` and `usage` call them.
_BY_MODEL = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheCreationInputTokens")
_IN_ALL = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")


def session_usage(result: Mapping[str, Any]) -> Usage:
    """What the session has consumed so far. Amounts that are none are 0."""
    models = ((model, _map(told)) for model, told in _map(result.get("modelUsage")).items())
    by_model = {model: _amounts(Consumption, told, _BY_MODEL, told.get("costUSD")) for model, told in models}
    if any(consumed != NOTHING for consumed in by_model.values()):
        return usage_of(by_model)
    return _amounts(Usage, _map(result.get("usage")), _IN_ALL, result.get("total_cost_usd"))


def _amounts(kind: type[C], told: Mapping[str, Any], tokens: Iterable[str], cost: Any) -> C:
    amounts: list[Any] = [_amount(told.get(name), int) for name in tokens]
    return kind(*[*amounts, _amount(cost, (int, float))])


def _amount(value: Any, kinds: Any) -> Any:
    return value if isinstance(value, kinds) and 0 <= value < 2**53 else 0


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
