"""How long is waited for a model that does not answer.

The CLI bounds each of its tries, and their number, but between two it waits for as long as the provider wants it to. So
a try is not waited for if it may end later than all of them together would without that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

#: The CLI's settings: how often it tries again, and the ms that a try may take.
RETRIES, TRY_MS = "CLAUDE_CODE_MAX_RETRIES", "API_TIMEOUT_MS"

#: Seconds for a start, and for the pauses that the CLI makes by itself.
_SLACK = 6.0


class Patience:
    """One run's. Times are seconds."""

    def __init__(self, environ: Mapping[str, str], clock: Callable[[], float]) -> None:
        """`environ` is the CLI's. What is no number in it is the CLI's own business: then everything is waited for."""
        try:
            self._try = int(environ[TRY_MS]) / 1000
            self.seconds = (int(environ[RETRIES]) + 1) * self._try + _SLACK
        except (KeyError, ValueError, OverflowError):
            self._try, self.seconds = 0.0, float("inf")
        self._clock = clock
        self._heard = clock()

    def hears(self) -> None:
        """The run goes on."""
        self._heard = self._clock()

    def lasts(self, pause: float) -> bool:
        """Whether one more try is waited for, which begins after this pause."""
        return self._clock() - self._heard + pause + self._try <= self.seconds
