"""What a turn of a session cost.

An agent tells what its whole session has cost so far, over all its turns (`cost` of a `usage_update`: "cumulative
session cost"). What of that is this turn's takes knowing what the turn before ended with: it is written down in the
session's home, which the turn that goes on with it gets. What cannot be known is unknown, such as what agents do when
they go on with a copy.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

_FILE = ".taskrun-cost.json"

#: Agents that end before what they have counted is written down, now and then: of a session that goes on, their total
#: is of all its turns, or of some of them, and nobody can tell of which.
_FORGETFUL = ("@agentclientprotocol/claude-agent-acp",)


class Note(msgspec.Struct, frozen=True):
    """What is written down."""

    session_id: str
    #: US dollars, of all its turns.
    cost: float


class Meter:
    """Reads one turn."""

    def __init__(self, home: Path, goes_on: str = "", *, fork: bool = False) -> None:
        """`goes_on` is the session that the turn goes on with, or with a copy of it; by default it begins one."""
        self._file = home / _FILE
        self._before = _noted(self._file, goes_on) if goes_on else 0.0
        self._goes_on = bool(goes_on)
        self._fork = fork
        #: What the agent calls itself.
        self.agent = ""
        #: That of the turn, as soon as it has one.
        self.session_id = ""

    def read(self, total: float) -> float | None:
        """US dollars of this turn, of a session that has cost `total` in all. None if that cannot be known."""
        if self._goes_on and self.agent in _FORGETFUL:
            self._note(None)
            return None
        before = self._before
        anew = before is not None and total < before
        self._note(None if self._fork or anew else total)
        if anew:
            return total
        return None if before is None or self._fork else total - before

    def _note(self, total: float | None) -> None:
        # Where there is nothing to be written, or it cannot be, there is to be none: an old one would be a wrong one.
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
            if total is not None:
                self._file.write_bytes(msgspec.json.encode(Note(self.session_id, total)))


def _noted(file: Path, session_id: str) -> float | None:
    try:
        note = msgspec.json.decode(file.read_bytes(), type=Note)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return note.cost if note.session_id == session_id and note.cost >= 0 else None
