"""One step of the daemon's core: when it happens, and what it leads to."""

from __future__ import annotations

from dataclasses import dataclass, field

from taskrun.domain.daemon.effects import Effect
from taskrun.domain.now import Now


@dataclass(slots=True)
class Step:
    """Filled while one piece of news is handled. What is to be sent goes into the outbox instead."""

    now: Now
    effects: list[Effect] = field(default_factory=list)
