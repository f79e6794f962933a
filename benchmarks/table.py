"""The table that is printed: a figure, the raw limit beside it, their ratio, and the mark it should reach."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Table:
    """Rows in the order in which they were measured."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)
    missed: bool = False

    def add(
        self,
        what: str,
        figure: float,
        unit: str,
        *,
        limit: float | None = None,
        at_least: float | None = None,
        at_most: float | None = None,
        ratio: bool = True,
    ) -> None:
        """A figure; with a limit, the ratio of the two is what is held against the mark."""
        value = figure / limit if limit and ratio else figure
        mark, reached = "", True
        if at_least is not None:
            mark, reached = f">= {at_least:g}{' x' if limit and ratio else ''}", value >= at_least
        if at_most is not None:
            mark, reached = f"<= {at_most:g}{' x' if limit and ratio else ''}", value <= at_most
        self.missed |= not reached
        verdict = f"{mark}  {'ok' if reached else 'MISSED'}" if mark else ""
        shown = f"{value:.2f} x" if limit and ratio else ""
        self.rows.append((what, f"{figure:,.{_digits(figure)}f} {unit}", _limit(limit, unit), shown, verdict))

    def __str__(self) -> str:
        rows = [("what", "figure", "raw gRPC", "ratio", "mark"), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        lines.insert(1, "  ".join("-" * width for width in widths))
        return "\n".join(lines)


def _digits(figure: float) -> int:
    return 0 if abs(figure) >= 100 else 2


def _limit(limit: float | None, unit: str) -> str:
    return f"{limit:,.{_digits(limit)}f} {unit}" if limit else ""


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
