"""What a control plane demands of the way to others on the same store.

The store is the truth and `meet` reads it; calls only wake up, and each of them may be lost.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from taskrun.domain.records import Requirement, Task, WorkerView
from taskrun.domain.values import value

#: Seconds for which a control plane that says nothing is believed to live, unless it is told otherwise.
LEASE = 15.0


@value(frozen=True, slots=True)
class Meeting:
    """What there is to know of the others at this moment."""

    #: There were others, alive or just gone: what is stored may be theirs.
    others: bool
    #: RUNNING tasks of those that are gone, which are this one's from now on.
    inherited: Sequence[Task] = ()
    #: How many wait, of every requirement that somebody waits for.
    waiting: Mapping[Requirement, int] = field(default_factory=dict)
    #: When the next of them has waited long enough (Unix ms); 0 is never.
    expires_at_ms: int = 0
    #: Tasks that this one has, or that wait, and that somebody wants cancelled.
    cancels: Sequence[str] = ()
    #: Whether there are messages for runs that this one has, which it has not claimed.
    messages: bool = False
    #: Messages that this one has left for others and of which there is something to know, by their ids.
    answered: Sequence[str] = ()
    #: The workers of those that live.
    workers: Sequence[WorkerView] = ()


@value(frozen=True, slots=True)
class Call:
    """What another calls out: a reason to look, and nothing that the store does not know."""

    #: Tasks whose stories have new entries.
    stories: tuple[str, ...] = ()
    #: How many tasks it has put into the queue.
    waiting: Mapping[Requirement, int] = field(default_factory=dict)
    #: A meeting has something new.
    meet: bool = False
    #: Calls may have been missed before this one.
    missed: bool = False
    #: Runs that a limit counts have ended, or room for one was left.
    room: bool = False


class Peers(Protocol):
    """The other control planes. Its store's `commit` calls out what they want to hear."""

    async def meet(self, workers: Sequence[WorkerView]) -> Meeting:
        """Says that this control plane lives and has these workers, and takes over from those that do not live.

        To be called a few times in each lease: who falls silent for that long may be taken for dead. Raises `LeaseLost`
        if that has happened, or if nobody knows whether it has taken over: then it has to recover. Raises
        `StoreFailed` if the store does not answer, which changes nothing.
        """
        ...

    def calls(self) -> AsyncIterator[Call]:
        """What the others call out from now on; the first says at once that calls may have been missed.

        Raises `StoreFailed` when it can hear no more. Close it to stop listening.
        """
        ...
