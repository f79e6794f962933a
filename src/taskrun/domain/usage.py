"""What runs consume: whose it was, and sums of it. Nothing here fails, whatever agents told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from operator import attrgetter
from typing import Any

from taskrun.domain.records import Consumption, Labels, Run, Usage

#: Models of one run that are told apart, and characters of a model's name. What is beyond them goes to `OTHER_MODELS`.
MAX_MODELS = 10
MAX_MODEL_NAME = 128
OTHER_MODELS = "other"
#: Stands for the model of an agent that does not say which it has.
UNKNOWN_MODEL = "unknown"

NOTHING = Consumption()
#: Of anything that a run consumed: larger numbers are not exact everywhere, and no run means them.
MAX_AMOUNT = 2**53
#: Dollars. Sums of estimates differ by less than this for no other reason than the order of their parts.
_DUST = 1e-9

_amounts: Callable[[Consumption], tuple[int, int, int, int, float | None]] = attrgetter(
    *(field.name for field in fields(Consumption))
)


def usage_of(by_model: Mapping[str, Consumption]) -> Usage:
    """What these models consumed together."""
    return Usage(*_amounts(sum(by_model.values(), NOTHING)), by_model)


def told_in(metadata: Labels) -> Usage | None:
    """What a run says in a USAGE event that it has consumed so far; None if that is nothing. What is no amount counts
    for nothing, and a cost that is none is unknown."""
    told = Consumption(*(_read(field.default, metadata.get(field.name, "")) for field in fields(Consumption)))
    model = metadata.get("model", "")
    return bounded(Usage(*_amounts(told), {model: told} if model else {})) if told != NOTHING else None


def since(before: Usage, now: Usage) -> Usage:
    """What was consumed between two readings of a meter that only grows, such as that of a session."""
    by_model = {model: _rest(read, before.by_model.get(model, NOTHING)) for model, read in now.by_model.items()}
    spent = {model: consumed for model, consumed in by_model.items() if not consumed.is_nothing}
    return Usage(*_amounts(_rest(now, before)), spent)


def bounded(usage: Usage) -> Usage:
    """The same amounts, as far as they are amounts, by as many models and with as long names as are kept: the first
    that are told keep theirs."""
    by_model: dict[str, Consumption] = {}
    for model, consumed in usage.by_model.items():
        name = model[:MAX_MODEL_NAME] or UNKNOWN_MODEL
        _add(by_model, name if name in by_model or len(by_model) < MAX_MODELS else OTHER_MODELS, _plausible(consumed))
    return Usage(*_amounts(_plausible(usage)), {model: _plausible(consumed) for model, consumed in by_model.items()})


def _plausible(consumed: Consumption) -> Consumption:
    """No token in place of a number of them that is negative, endless or none; of a cost the same is unknown."""
    told: Iterable[Any] = zip(_amounts(consumed), _amounts(NOTHING), strict=True)
    return Consumption(*(amount if _is_amount(amount) else nothing for amount, nothing in told))


def _is_amount(amount: Any) -> bool:
    return amount is not None and 0 <= amount <= MAX_AMOUNT


def consumed_by(run: Run) -> Mapping[str, Consumption]:
    """What each model consumed in this run: as its agent told, and the rest by the run's own model."""
    own = run.backend.model_name if run.backend else ""
    return {} if run.usage is None else parted(run.usage, own)


def parted(usage: Usage, own: str) -> Mapping[str, Consumption]:
    """The whole of it by model; what nobody claims is that of `own`, the run's model."""
    by_model = dict(usage.by_model)
    rest = _rest(usage, sum(by_model.values(), NOTHING))
    if not rest.is_nothing:
        _add(by_model, own or UNKNOWN_MODEL, rest)
    return by_model


def together(first: Usage | None, second: Usage | None) -> Usage | None:
    """What two turns of one run consumed; None if neither told anything."""
    if first is None or second is None:
        return first or second
    by_model = dict(first.by_model)
    for model, consumed in second.by_model.items():
        _add(by_model, model, consumed)
    return bounded(Usage(*_amounts(first + second), by_model))


def total(runs: Iterable[Run]) -> Usage | None:
    """What these runs consumed together, by model; None if none of them told anything."""
    told = [(run, run.usage) for run in runs if run.usage is not None]
    by_model: dict[str, Consumption] = {}
    for run, _ in told:
        for model, consumed in consumed_by(run).items():
            _add(by_model, model, consumed)
    return Usage(*_amounts(sum((usage for _, usage in told), NOTHING)), by_model) if told else None


def _read(nothing: Any, text: str) -> Any:
    try:
        return float(text) if nothing is None else int(text)
    except ValueError:
        return nothing


def _add(by_model: dict[str, Consumption], model: str, consumed: Consumption) -> None:
    by_model[model] = by_model.get(model, NOTHING) + consumed


def _rest(whole: Consumption, part: Consumption) -> Consumption:
    """What of the whole is not in the part; where the part says more than the whole, nothing. A part of unknown cost
    takes nothing from the cost of the whole."""
    return Consumption(*map(_left, _amounts(whole), _amounts(part)))


def _left(amount: Any, told: Any) -> Any:
    if amount is None:
        return None
    left = amount - (told or 0)
    return left if left > _DUST else 0
