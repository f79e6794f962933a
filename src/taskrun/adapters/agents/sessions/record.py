"""What is written down about a kept session, inside its directory; and how the directory is found by the session's id.

A session is found by a link beside the directories that has its name. The record is what counts: a link whose
directory does not say that it has this session leads nowhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from taskrun.adapters.agents.containment.directory import PREFIX

_FILE = "session.json"


class Record(msgspec.Struct, frozen=True):
    """Times are seconds since 1970: they count across restarts."""

    #: What the session is called here. Its agent may give it another id with every turn: it is known by all of them.
    names: tuple[str, ...]
    #: When its last run ended.
    ended_at: float
    #: When it expires.
    until: float
    #: Bytes that the directory takes.
    size: int


def name_of(agent: str, session_id: str) -> str:
    """What an agent's session is called here: an id may be any text, a digest of it is good for the name of a file."""
    return sha256(f"{agent}/{session_id}".encode(errors="surrogatepass")).hexdigest()


def read(root: Path) -> Record | None:
    """The record of the session in this directory; None if it has none."""
    try:
        return msgspec.json.decode((root / _FILE).read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def write(root: Path, record: Record) -> None:
    """Writes it down, whole or not at all, and makes it be found. Raises OSError."""
    draft = root / f"{_FILE}.new"
    draft.write_bytes(msgspec.json.encode(record))
    draft.replace(root / _FILE)
    for name in record.names:
        link = root / "link.new"
        link.unlink(missing_ok=True)
        link.symlink_to(root.absolute())
        link.replace(_link(root.parent, name))


def find(place: Path, name: str) -> Path | None:
    """The directory in `place` that may have the session of this name."""
    try:
        return place / Path(os.readlink(_link(place, name))).name
    except OSError:
        return None


def directories(place: Path) -> Iterator[Path]:
    """All directories in `place`, with and without a session."""
    return place.glob(f"{PREFIX}*")


def unlink_dangling(place: Path) -> None:
    """Removes the links whose directory is gone."""
    for path in place.glob(f"*{_SUFFIX}"):
        if not path.exists():
            path.unlink(missing_ok=True)


_SUFFIX = ".session"


def _link(place: Path, name: str) -> Path:
    return place / f"{name}{_SUFFIX}"
