"""How long to wait before a call is made again: what the endpoint asks for, and how much patience there is in all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

#: Tries in all, and the seconds from the first one within which the last one begins.
TRIES = 4
PATIENCE = 60.0

#: Seconds: ten years. Who asks for more is not believed, and no calendar would take it.
_LONGEST_DELAY = 3_650 * 86_400.0

#: Before the second try; each later pause is twice as long.
_FIRST_PAUSE = 0.5

#: Such as "1s", "6m0s", "8.64s" or "20ms"; Go's way to write a duration.
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

_LIMITS = ("requests", "tokens")


class Patience:
    """Counts the tries of one call."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ends = clock() + PATIENCE
        #: How many failed.
        self.failed = 0

    def pause(self, asked: float | None) -> float | None:
        """One more failed. Seconds until the next try, or None if there is to be none."""
        self.failed += 1
        pause = _FIRST_PAUSE * 2 ** (self.failed - 1) if asked is None else asked
        is_over = self.failed >= TRIES or self._clock() + pause > self._ends
        return None if is_over else pause


def asked_delay(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that the endpoint wants to be left alone, at most ten years; None if it does not say. Names of headers
    are in lower case."""
    known = (delay for read in _SOURCES for delay in read(headers, now))
    return next((min(max(0.0, delay), _LONGEST_DELAY) for delay in known), None)


def duration(words: str) -> float | None:
    """Seconds; None if it is none. A plain number is one."""
    if _is_number(words):
        return float(words)
    parts = _PART.findall(words)
    is_whole = bool(parts) and "".join(map("".join, parts)) == words
    return sum(float(number) * _SECONDS[unit] for number, unit in parts) if is_whole else None


# Where a delay may be told; the first that tells one decides.


def _milliseconds(headers: Mapping[str, str], _: float) -> Iterator[float]:
    words = headers.get("retry-after-ms", "")
    if _is_number(words):
        yield float(words) / 1000


def _retry_after(headers: Mapping[str, str], now: float) -> Iterator[float]:
    """RFC 9110, 10.2.3: seconds, or a date."""
    words = headers.get("retry-after", "")
    if _is_number(words):
        yield float(words)
        return
    try:
        date = parsedate_to_datetime(words)
    # A number in it may be longer than any calendar's.
    except (ValueError, OverflowError):
        return
    # One without a zone is in UTC: that is what HTTP's dates are in.
    yield (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now


def _resets(headers: Mapping[str, str], _: float) -> Iterator[float]:
    """Both limits tell when they are full again; what counts is the one that is used up."""
    used_up = [limit for limit in _LIMITS if headers.get(f"x-ratelimit-remaining-{limit}", "0") == "0"]
    told = [duration(headers.get(f"x-ratelimit-reset-{limit}", "")) for limit in used_up]
    known = [delay for delay in told if delay is not None]
    if known:
        yield max(known)


_SOURCES = (_milliseconds, _retry_after, _resets)


def _is_number(words: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", words) is not None
