"""Warnings that any stranger can cause: a line a minute of each kind, and how many there were."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

#: Seconds between two lines of a kind.
PAUSE = 60.0


class Seldom(logging.Filter):
    """Lets a warning through if there was none of its words for a minute, and has it say how many it stands for.

    The words are those of the call, without what is put into them: of these there are only as many as calls.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """`now` in seconds, monotonic."""
        super().__init__()
        self._now = now
        self._said: dict[str, float] = {}
        self._unsaid = Counter[str]()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is said. What is graver, or less grave, is not counted."""
        return record.levelno != logging.WARNING or self._is_due(record)

    def _is_due(self, record: logging.LogRecord) -> bool:
        words, now = record.msg, self._now()
        if now - self._said.get(words, -PAUSE) < PAUSE:
            self._unsaid[words] += 1
            return False
        self._said[words] = now
        if unsaid := self._unsaid.pop(words, 0):
            record.msg = f"{words} ({unsaid} more since this was last said.)"
        return True


def seldom(logger: logging.Logger) -> logging.Logger:
    """One that speaks through this, and warns seldom."""
    own = logging.Logger(logger.name)
    own.parent = logger
    own.addFilter(Seldom())
    return own
