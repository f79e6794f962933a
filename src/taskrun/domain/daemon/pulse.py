"""The heartbeats of one link, and whether anybody answers them."""

from __future__ import annotations

from taskrun.domain.now import Now
from taskrun.domain.protocol import HeartbeatAck

#: Heartbeats without a sign of life after which a control plane that has acked before is taken for dead.
PATIENCE = 3


class Pulse:
    """Counts. An old control plane never acks and may be silent for ever: only one that has acked can fall silent."""

    def __init__(self, dialled_at: float = 0.0, heard_from_at: float = 0.0) -> None:
        """`dialled_at`: when the hello was sent at the earliest. `heard_from_at` is that of the link before."""
        self.is_acked = False
        #: When this worker sent the last thing that the control plane is known to have heard. Seconds, monotonic.
        self.heard_from_at = heard_from_at
        self._dialled_at = dialled_at
        self._unanswered = 0
        self._last_ms = 0
        self._last_at = dialled_at
        self._is_answered = False

    @property
    def is_silent(self) -> bool:
        """The control plane used to answer and does so no more."""
        return self.is_acked and self._unanswered >= PATIENCE

    @property
    def is_answered(self) -> bool:
        """The last heartbeat was acked, and so all that was sent before it has arrived."""
        return self._is_answered

    def beat(self, now: Now) -> int:
        """The timestamp of the next heartbeat: this link has no other with it."""
        self._unanswered += 1
        self._last_ms = max(now.utc_ms, self._last_ms + 1)
        self._last_at = now.mono
        self._is_answered = False
        return self._last_ms

    def heard(self) -> None:
        """The control plane said something: so it has heard the hello, at least."""
        self._unanswered = 0
        self.heard_from_at = max(self.heard_from_at, self._dialled_at)

    def welcomed(self) -> None:
        """A control plane that answers a hello answers heartbeats."""
        self.is_acked = True

    def acked(self, ack: HeartbeatAck) -> None:
        """Takes an ack in."""
        self.is_acked = True
        if ack.timestamp_ms == self._last_ms:
            self.heard_from_at = self._last_at
            self._is_answered = True
