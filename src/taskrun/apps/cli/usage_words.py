"""What was consumed, for people. Who counts reads `--json`, where the numbers are whole."""

from __future__ import annotations

from collections.abc import Iterator

from taskrun.apps.cli.showing import amount
from taskrun.domain.records import Consumption, Task
from taskrun.domain.usage import total


def tokens(consumed: Consumption, unit: str = "") -> str:
    """`1.2k in, 340 out, 12k from cache, 3.1k to cache`; the unit stands behind the first number."""
    told = [f"{amount(consumed.input_tokens)}{unit} in", f"{amount(consumed.output_tokens)} out"]
    if consumed.cache_read_tokens:
        told.append(f"{amount(consumed.cache_read_tokens)} from cache")
    if consumed.cache_write_tokens:
        told.append(f"{amount(consumed.cache_write_tokens)} to cache")
    return ", ".join(told)


def cost(consumed: Consumption) -> str:
    """`$0.0123`; "" if nobody estimated it."""
    return f"${consumed.cost_usd:.4f}" if consumed.cost_usd else ""


def in_one_line(consumed: Consumption) -> str:
    """Tokens and cost."""
    return " · ".join(filter(None, (tokens(consumed, " tokens"), cost(consumed))))


def of_task(task: Task) -> Iterator[tuple[str, str]]:
    """What all runs of the task consumed, and by model if there were several."""
    usage = total(task.runs)
    if usage is None:
        return
    yield "Usage", in_one_line(usage)
    if len(usage.by_model) > 1:
        for model, consumed in usage.by_model.items():
            yield "", f"{model}: {in_one_line(consumed)}"
