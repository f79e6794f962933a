"""The table that is printed: a figure, the raw limit beside it, their ratio, and the mark it should reach."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """Something measured. With a limit, its ratio to that is what is held against the mark."""

    what: str
    value: float
    unit: str
    #: The name of the `Limits` beside it.
    limit: str = ""
    at_least: float | None = None
    at_most: float | None = None


@dataclass
class Table:
    """Rows in the order in which they were measured."""

    rows: list[tuple[str, ...]] = field(default_factory=list)
    missed: bool = False

    def add(self, figure: Figure, limit: float | None) -> None:
        """A row; `limit` is what the machine's gRPC did around it."""
        ratio = figure.value / limit if limit else figure.value
        times = " x" if limit else ""
        mark, reached = "", True
        if figure.at_least is not None:
            mark, reached = f">= {figure.at_least:g}{times}", ratio >= figure.at_least
        if figure.at_most is not None:
            mark, reached = f"<= {figure.at_most:g}{times}", ratio <= figure.at_most
        self.missed |= not reached
        self.rows.append(
            (
                figure.what,
                _shown(figure.value, figure.unit),
                _shown(limit, figure.unit) if limit else "",
                f"{ratio:.2f} x" if limit else "",
                f"{mark}  {'ok' if reached else 'MISSED'}" if mark else "",
            )
        )

    def __str__(self) -> str:
        rows = [("what", "figure", "raw gRPC", "ratio", "mark"), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)


def _shown(value: float, unit: str) -> str:
    return f"{value:,.{0 if abs(value) >= 100 else 2}f} {unit}"


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
