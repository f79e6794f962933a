"""What was consumed, for people. Who counts reads `--json`, where the numbers are whole."""

from __future__ import annotations

from collections.abc import Iterator

from taskrun.apps.cli.showing import amount
from taskrun.domain.records import Consumption, Task
from taskrun.domain.usage import consumed_by, total

#: What something cost that nobody told, and that has no price.
UNKNOWN = "unknown"


def tokens(consumed: Consumption, unit: str = "") -> str:
    """`1.2k in, 340 out, 12k from cache, 3.1k to cache`; the unit stands behind the first number."""
    told = [f"{amount(consumed.input_tokens)}{unit} in", f"{amount(consumed.output_tokens)} out"]
    if consumed.cache_read_tokens:
        told.append(f"{amount(consumed.cache_read_tokens)} from cache")
    if consumed.cache_write_tokens:
        told.append(f"{amount(consumed.cache_write_tokens)} to cache")
    return ", ".join(told)


def cost(consumed: Consumption) -> str:
    """`$0.0123`, or "unknown"."""
    return UNKNOWN if consumed.cost_usd is None else _dollars(consumed.cost_usd)


def in_one_line(consumed: Consumption, at_least: float = 0.0) -> str:
    """Tokens and cost; of one that is not known whole the part that is, in dollars."""
    if consumed.cost_usd is None:
        costs = f"at least {_dollars(at_least)}" if at_least else f"cost {UNKNOWN}"
    else:
        costs = _dollars(consumed.cost_usd)
    return f"{tokens(consumed, ' tokens')} · {costs}"


def of_task(task: Task) -> Iterator[tuple[str, str]]:
    """What all runs of the task consumed, and by model if there were several."""
    usage = total(task.runs)
    if usage is None:
        return
    by_run = (consumed_by(run).values() for run in task.runs)
    known = sum(consumed.cost_usd or 0.0 for parts in by_run for consumed in parts)
    yield "Usage", in_one_line(usage, known)
    if len(usage.by_model) > 1:
        for model, consumed in usage.by_model.items():
            yield "", f"{model}: {in_one_line(consumed)}"


def _dollars(amount: float) -> str:
    return f"${amount:.4f}"
