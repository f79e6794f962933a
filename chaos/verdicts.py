"""Verdicts, as they are printed."""

from __future__ import annotations

from collections.abc import Mapping

from chaos.oracle import KINDS, Verdict


def shown(verdict: Verdict, most: int) -> str:
    """The counters and the first findings."""
    lines = [f"  {count:>9,}  {what}" for what, count in verdict.counters.items()]
    lines += [f"  {finding}" for finding in verdict.findings[:most]]
    if len(verdict.findings) > most:
        lines.append(f"  and {len(verdict.findings) - most} more")
    lines += [f"  void: {why}" for why in verdict.void]
    return "\n".join(lines)


def table(verdicts: Mapping[str, Verdict]) -> str:
    """A row for each round: how much was found of each kind, and the verdict."""
    rows: list[tuple[str, ...]] = [("round", *KINDS, "verdict")]
    for name, verdict in verdicts.items():
        word = "FAILED" if verdict.findings else "void" if verdict.void else "ok"
        rows.append((name, *(str(len(verdict.of(kind))) for kind in KINDS), word))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)
