"""The heartbeats of one link, and whether anybody answers them."""

from __future__ import annotations

from taskrun.domain.protocol import HeartbeatAck

#: Heartbeats without a sign of life after which a control plane that has acked before is taken for dead.
PATIENCE = 3


class Pulse:
    """Counts. An old control plane never acks and may be silent for ever: only one that has acked can fall silent."""

    def __init__(self) -> None:
        self.is_acked = False
        self._unanswered = 0
        self._last_ms = 0

    @property
    def is_silent(self) -> bool:
        """The control plane used to answer and does so no more."""
        return self.is_acked and self._unanswered >= PATIENCE

    def beat(self, utc_ms: int) -> int:
        """The timestamp of the next heartbeat: this link has no other with it."""
        self._unanswered += 1
        self._last_ms = max(utc_ms, self._last_ms + 1)
        return self._last_ms

    def heard(self) -> None:
        """The control plane said something."""
        self._unanswered = 0

    def acked(self, ack: HeartbeatAck) -> bool:
        """Takes an ack in; true if it is for the last heartbeat, and so for all that was sent before it."""
        self.is_acked = True
        return ack.timestamp_ms == self._last_ms
