"""How long a store that failed is left alone."""

from __future__ import annotations

#: Seconds. The second failure in a row is followed by the first pause, each further one by one of twice the length.
FIRST, LONGEST = 1.0, 30.0


class Respite:
    """A store that fails once is asked again at once; one that goes on failing, less and less often.

    Each failed commit ends all streams, and each worker that comes back brings what has to be stored: on a full disk
    a thousand workers would otherwise do nothing but fail it, and cut each other off.
    """

    def __init__(self) -> None:
        self._pause = 0.0

    def after_failure(self) -> float:
        """Seconds to wait now."""
        pause, self._pause = self._pause, min(2 * self._pause or FIRST, LONGEST)
        return pause

    def after_success(self) -> None:
        """Something was stored: the next failure is a first one."""
        self._pause = 0.0
