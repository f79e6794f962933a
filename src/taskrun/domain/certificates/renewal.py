"""When a worker renews its certificate: at half its life, and if that fails again and again until its end."""

from __future__ import annotations

from collections.abc import Callable

from taskrun.domain.certificates.life import Life


class Renewal:
    """The plan for one certificate after the other. Times are Unix milliseconds."""

    def __init__(self, life: Life, chance: Callable[[], float]) -> None:
        """`chance` gives numbers from 0 to 1."""
        self._chance = chance
        self.renewed(life)

    def is_due(self, now_ms: int) -> bool:
        """Whether to try now."""
        return now_ms >= self._due_ms

    def wait_ms(self, now_ms: int) -> int:
        """How long there is nothing to do."""
        return max(0, self._due_ms - now_ms)

    def left_ms(self, now_ms: int) -> int:
        """How long the certificate is still good for."""
        return max(0, self._life.ends_ms - now_ms)

    def is_grave(self, now_ms: int) -> bool:
        """Whether somebody should look why it fails."""
        return now_ms >= self._life.aged_at_ms

    def renewed(self, life: Life) -> None:
        """There is a new certificate."""
        self._life = life
        self._due_ms = life.renewed_at_ms(self._chance())

    def failed(self, now_ms: int) -> None:
        """The attempt came to nothing."""
        self._due_ms = now_ms + self._life.retry_ms()
