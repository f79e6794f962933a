"""Numbers on the command lines of what tests the system."""

from __future__ import annotations

from math import isfinite


def amount(text: str) -> float:
    """A number of 0 or more, for `argparse`. Raises `ValueError` for all else: what has no end, or is no number, would
    be noticed only where somebody waits for it or multiplies by it."""
    value = float(text)
    if value < 0 or not isfinite(value):
        raise ValueError
    return value
