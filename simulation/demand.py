"""How it is said that something must hold."""

from __future__ import annotations


class Violation(AssertionError):
    """Something that was promised is not so."""


def demand(holds: object, what: str) -> None:
    """Raises `Violation` unless it holds."""
    if not holds:
        raise Violation(what)
