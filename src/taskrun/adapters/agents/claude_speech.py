"""The model's words, each given on once and as early as it is known.

Text comes three times: as deltas while the model speaks, whole with each finished block, and the last of it in the
result. The deltas are given on, then whatever comes later has beyond them. A message whose connection broke is begun
anew by the CLI; what was given on of it cannot be taken back, so the text says that it was cut off.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.adapters.agents.claude_sayings import Spoke

#: Stands where a message was cut off and begins anew.
CUT_OFF = "\n[The connection to the model broke; its answer begins anew.]\n"

#: Characters of a message.
_MOST_KEPT = 2**20


class Speech:
    """One run's."""

    def __init__(self) -> None:
        self._message = ""
        self._characters = 0
        #: Pieces of the current message, given on but not yet confirmed by a whole block.
        self._draft: list[str] = []
        self._confirmed: list[str] = []
        #: What was given on last, and whether a tool has been used since.
        self._last = "\n"
        self._tool_used = False

    def begin(self, message_id: str) -> Sequence[Spoke]:
        """From here on the message of this id is spoken."""
        if message_id and message_id == self._message:
            return ()
        cut_off = [Spoke(CUT_OFF)] if self._draft else []
        self._message, self._characters = message_id, 0
        self._draft, self._confirmed = [], []
        return cut_off

    def add(self, text: str) -> Sequence[Spoke]:
        """A piece of the message."""
        if not text:
            return ()
        self._characters += len(text)
        if self._is_kept:
            self._draft.append(text)
        # What was said before a tool's use and what is said after it are two paragraphs.
        separator = "\n" if self._tool_used and not self._last.endswith("\n") else ""
        self._last, self._tool_used = text, False
        return [Spoke(separator + text)]

    def confirm(self, block: str) -> Sequence[Spoke]:
        """A text block is complete: gives on what the pieces did not have of it."""
        if not self._is_kept:
            return ()
        draft = "".join(self._draft)
        known = draft.startswith(block)
        said = () if known else self.add(block.removeprefix(draft))
        self._draft = [draft.removeprefix(block)] if known and draft != block else []
        self._confirmed.append(block)
        return said

    def conclude(self, text: str) -> Sequence[Spoke]:
        """The result has this text: gives it on if it is not what was said last."""
        if not self._is_kept or text.strip() in "".join(self._confirmed + self._draft):
            return ()
        return [*self.begin(""), *self.add(text)]

    @property
    def _is_kept(self) -> bool:
        """The message is short enough to be compared with what is told of it later; a longer one is as it came."""
        return self._characters <= _MOST_KEPT

    def pause(self) -> None:
        """The model uses a tool."""
        self._tool_used = True
