"""How long a certificate lives, and when its holder has to do something about that.

    issued ------------------- half ------------ three quarters ------------ end
           goes on                  is renewed                  warns

A thousand workers that were set up in one hour do not renew in one minute: each leaves its half by up to a tenth of it.
"""

from __future__ import annotations

from taskrun.domain.values import value

#: Parts of a life. It is renewed at its half, sooner or later by so much.
RENEWED, JITTER = 0.5, 0.05
#: From here on somebody should look why it was not.
AGED = 0.75
#: Milliseconds between two attempts to renew. Of a short life it is the twentieth part.
RETRY_MS = 300_000
_ATTEMPTS = 20


@value(frozen=True, slots=True)
class Life:
    """A certificate's time, in Unix milliseconds."""

    begins_ms: int
    ends_ms: int

    @property
    def aged_at_ms(self) -> int:
        """When it should long have been renewed."""
        return self._at(AGED)

    def renewed_at_ms(self, chance: float) -> int:
        """When it is to be renewed; `chance` is a number from 0 to 1."""
        return self._at(RENEWED + JITTER * (2 * chance - 1))

    def retry_ms(self) -> int:
        """How long to wait after an attempt that failed."""
        return min(RETRY_MS, max(1, (self.ends_ms - self.begins_ms) // _ATTEMPTS))

    def _at(self, part: float) -> int:
        return self.begins_ms + round(part * (self.ends_ms - self.begins_ms))
