"""The model's reasoning, which arrives word by word: given on in pieces of some length, since each is an event."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.ports.agent_events import Thought

#: A piece is given on when it has so many characters, or when it is complete.
_CHARACTERS = 200


class Thoughts:
    """One message's at a time."""

    def __init__(self) -> None:
        self._gathered = ""
        #: All of the current message, to know it again when it comes whole.
        self._all = ""

    def begin(self) -> None:
        """Another message begins."""
        self._gathered = self._all = ""

    def add(self, text: str) -> Sequence[Thought]:
        """A piece."""
        self._gathered += text
        self._all += text
        return self.finish() if len(self._gathered) >= _CHARACTERS else ()

    def finish(self) -> Sequence[Thought]:
        """What is gathered is complete."""
        gathered, self._gathered = self._gathered, ""
        return [Thought(gathered)] if gathered else ()

    def confirm(self, block: str) -> Sequence[Thought]:
        """A block comes whole: gives it on if its pieces did not come before."""
        return () if block in self._all else [*self.add(block), *self.finish()]
