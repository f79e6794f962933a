"""The sessions of a worker on its disk: directories that outlive their run, so that a later run can go on in them.

A session lives in one directory, under one path, for as long as it is kept: what an agent remembers may name it.

- **Who uses a directory holds a lock on it**, which the system takes away with the process, however that ends. So a
  session has one run at a time, and what is unlocked is not in use.
- **A directory is kept for what its record says** (see `record`). One that has no record and that nobody has locked is
  what a dead worker left behind: `tidy` deletes it. A session whose run died with its worker has its record still.
- **Nothing is decided about a directory but under its lock.**

All of it blocks, and may be called from any thread, and by several workers on the same place.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from taskrun.adapters.agents.containment.directory import RunDirectory, delete_tree
from taskrun.adapters.agents.sessions import record as records
from taskrun.adapters.agents.sessions.record import Record
from taskrun.adapters.agents.sessions.tree import copy_tree, size_of


@dataclass(frozen=True, slots=True)
class Keeping:
    """How long sessions are kept, and how many: over a bound those go whose last run is the longest ago."""

    #: After a session's last run; 0 keeps none.
    seconds: float = 86_400.0
    count: int = 100
    #: Bytes of all together; 0 is no limit.
    size: int = 2**30


class NotKept(Exception):
    """The session cannot be gone on with; the message says why, for people."""


@dataclass(frozen=True, slots=True)
class HeldDirectory:
    """A directory that is one run's alone until it is let go of."""

    directory: RunDirectory
    #: The open directory, by which it is locked.
    lock: int

    @property
    def root(self) -> Path:
        """Its path."""
        return self.directory.root

    def let_go(self) -> None:
        """Others may have it now."""
        os.close(self.lock)

    def delete(self) -> None:
        """And nobody may any more."""
        self.directory.delete()
        self.let_go()


class SessionShelf:
    """One place for sessions, made when it is needed."""

    def __init__(self, place: Path, keeping: Keeping, now: Callable[[], float] = time.time) -> None:
        self.keeping = keeping
        self._place = place
        self._now = now

    def fresh(self) -> HeldDirectory:
        """A new directory. Raises OSError."""
        while True:
            reserved = RunDirectory.reserve(self._place)
            # Before it is locked, a `tidy` at the same moment takes it for left behind.
            if held := _hold(reserved.root):
                held.directory.furnish()
                return held

    def take(self, agent: str, session_id: str) -> HeldDirectory:
        """The session's directory, as its last run left it. Raises `NotKept`, also while another run has it."""
        name = records.name_of(agent, session_id)
        root = records.find(self._place, name)
        if root is None or not root.is_dir():
            raise NotKept(_GONE.format(session_id))
        held = _hold(root)
        if held is None:
            raise NotKept(_BUSY.format(session_id))
        if not self._has(root, name):
            held.let_go()
            raise NotKept(_GONE.format(session_id))
        return held

    def copy(self, agent: str, session_id: str) -> HeldDirectory:
        """A new directory with all that the session's has. Raises `NotKept` as `take` does, and OSError."""
        original = self.take(agent, session_id)
        try:
            copy = self.fresh()
            try:
                for part in (original.directory.home, original.directory.work):
                    copy_tree(part, copy.root / part.name)
            except BaseException:
                copy.delete()
                raise
            return copy
        finally:
            original.let_go()

    def keep(self, held: HeldDirectory, agent: str, session_id: str, seconds: float) -> None:
        """Keeps a held directory for this session, `seconds` from now. Raises OSError."""
        delete_tree(held.directory.temporary)
        held.directory.furnish()
        now, before = self._now(), records.read(held.root)
        names = dict.fromkeys((*(before.names if before else ()), records.name_of(agent, session_id)))
        records.write(held.root, Record(tuple(names), now, now + seconds, size_of(held.root)))

    def tidy(self) -> float | None:
        """Deletes what is kept no longer and what dead workers left; returns in how many seconds the next expires."""
        seen = {root: records.read(root) for root in records.directories(self._place)}
        kept = self._chosen(seen)
        for root in seen.keys() - kept.keys():
            self._delete(root, seen[root])
        records.unlink_dangling(self._place)
        return min((record.until - self._now() for record in kept.values()), default=None)

    def _has(self, root: Path, name: str) -> bool:
        record = records.read(root)
        return record is not None and name in record.names and record.until > self._now()

    def _chosen(self, seen: Mapping[Path, Record | None]) -> dict[Path, Record]:
        """What of it may stay: what has not expired, the latest first, as far as the bounds go."""
        alive = [(root, record) for root, record in seen.items() if record and record.until > self._now()]
        alive.sort(key=lambda entry: entry[1].ended_at, reverse=True)
        chosen: dict[Path, Record] = {}
        left = self.keeping.size or sum(record.size for _, record in alive)
        for root, record in alive[: self.keeping.count]:
            left -= record.size
            if left < 0:
                break
            chosen[root] = record
        return chosen

    def _delete(self, root: Path, seen: Record | None) -> None:
        held = _hold(root)
        if held is None:
            return
        if records.read(root) == seen:
            held.delete()
        else:
            # Its run has ended meanwhile.
            held.let_go()


_GONE = "No session {} is kept here: this worker never had it, or it expired, or it made room for others."
_BUSY = "Session {} is in use: another run goes on with it, and a session has one at a time."


def _hold(root: Path) -> HeldDirectory | None:
    """Locks a directory; None if somebody has it, or if it is gone."""
    try:
        lock = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had it before may have deleted it.
        if os.path.samestat(os.fstat(lock), os.stat(root)):
            return HeldDirectory(RunDirectory(root), lock)
    except OSError:
        pass
    os.close(lock)
    return None
