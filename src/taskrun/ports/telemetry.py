"""Where the control plane tells what happened, for metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from taskrun.domain.events import DomainEvent


class Telemetry(Protocol):
    """Takes in events. It never blocks and never raises; what it keeps is its own matter."""

    def record(self, events: Sequence[DomainEvent]) -> None:
        """The events of one committed batch, at least one, in order."""
        ...
