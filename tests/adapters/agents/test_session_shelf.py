"""Directories that outlive their run, on a real disk and with a clock that stands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskrun.adapters.agents.sessions.shelf import HeldDirectory, Keeping, NotKept, SessionShelf

HOUR = 3600.0


class Shelf(SessionShelf):
    """Time stands still until it is moved."""

    def __init__(self, place: Path, keeping: Keeping = Keeping()) -> None:  # noqa: B008
        super().__init__(place, keeping, lambda: self.time)
        self.time = 1000.0
        self.place = place

    def add(self, session_id: str, text: str = "", seconds: float = HOUR, agent: str = "a") -> Path:
        """A session that had one run, a second after the one before."""
        held = self.fresh()
        (held.directory.work / "notes").write_text(text)
        self.keep(held, agent, session_id, seconds)
        held.let_go()
        self.time += 1
        return held.root

    def has(self, session_id: str, agent: str = "a") -> bool:
        try:
            self.take(agent, session_id).let_go()
        except NotKept:
            return False
        return True

    def left(self) -> list[str]:
        return sorted(os.listdir(self.place))


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    return Shelf(tmp_path / "sessions")


@pytest.fixture
def open_files() -> Iterator[None]:
    """No lock is left behind."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == before


pytestmark = pytest.mark.usefixtures("open_files")


def notes(held: HeldDirectory) -> str:
    return (held.directory.work / "notes").read_text()


# Going on.


def test_a_session_is_found_again_under_its_path_with_all_but_its_temporary_files(shelf: Shelf) -> None:
    held = shelf.fresh()
    for part in (held.directory.home, held.directory.work, held.directory.temporary):
        (part / "file").touch()
    shelf.keep(held, "a", "s1", HOUR)
    held.let_go()
    again = shelf.take("a", "s1")
    assert again.root == held.root
    assert [os.listdir(part) for part in (again.directory.home, again.directory.work, again.directory.temporary)] == [
        ["file"],
        ["file"],
        [],
    ]
    again.let_go()


@pytest.mark.parametrize("session_id", ["../../etc", "a/b", "ü\udcff", "x" * 5000, " "])
def test_an_id_may_be_anything(shelf: Shelf, session_id: str) -> None:
    shelf.add("another")
    shelf.add(session_id, "mine")
    held = shelf.take("a", session_id)
    assert notes(held) == "mine"
    held.let_go()


def test_a_session_is_its_agents_own(shelf: Shelf) -> None:
    shelf.add("s1", agent="a")
    assert (shelf.has("s1", agent="a"), shelf.has("s1", agent="b")) == (True, False)


def test_an_unknown_session_is_refused_in_clear_words(shelf: Shelf) -> None:
    with pytest.raises(NotKept, match=r"^No session s1 is kept here: "):
        shelf.take("a", "s1")


def test_a_session_has_one_run_at_a_time(shelf: Shelf) -> None:
    shelf.add("s1")
    first = shelf.take("a", "s1")
    for second in (shelf.take, shelf.copy):
        with pytest.raises(NotKept, match="in use"):
            second("a", "s1")
    first.let_go()
    assert shelf.has("s1")


def test_a_session_whose_id_changes_is_known_by_all_of_them(shelf: Shelf) -> None:
    root = shelf.add("s1")
    held = shelf.take("a", "s1")
    shelf.keep(held, "a", "s2", HOUR)
    held.let_go()
    for session_id in ("s1", "s2"):
        held = shelf.take("a", session_id)
        assert held.root == root
        held.let_go()


def test_a_copy_has_everything_and_changes_nothing(shelf: Shelf) -> None:
    root = shelf.add("s1", "original")
    os.mkfifo(root / "work" / "pipe")
    (root / "work" / "link").symlink_to("notes")
    (root / "home" / "deep" / "er").mkdir(parents=True)
    copy = shelf.copy("a", "s1")
    assert copy.root != root
    assert notes(copy) == "original"
    assert sorted(os.listdir(copy.directory.work)) == ["link", "notes"]
    assert (copy.directory.home / "deep" / "er").is_dir()
    (copy.directory.work / "notes").write_text("changed")
    copy.delete()
    held = shelf.take("a", "s1")
    assert notes(held) == "original"
    held.let_go()


def test_a_copy_that_fails_leaves_nothing_and_the_session_as_it_was(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shelf.add("s1")
    left = shelf.left()

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("taskrun.adapters.agents.sessions.shelf.copy_tree", full)
    with pytest.raises(OSError, match="No space"):
        shelf.copy("a", "s1")
    assert (shelf.left(), root.is_dir(), shelf.has("s1")) == (left, True, True)


# The end.


def test_a_session_expires_and_then_is_deleted(shelf: Shelf) -> None:
    shelf.add("short", seconds=10)
    shelf.add("long", seconds=HOUR)
    shelf.time = 1010
    assert (shelf.has("short"), shelf.has("long")) == (False, True)
    assert shelf.tidy() == 1001 + HOUR - shelf.time
    assert len(shelf.left()) == 2


def test_every_run_begins_the_time_anew(shelf: Shelf) -> None:
    shelf.add("s1", seconds=10)
    shelf.time = 1009
    held = shelf.take("a", "s1")
    shelf.keep(held, "a", "s1", 10)
    held.let_go()
    shelf.time = 1015
    assert shelf.has("s1")


def test_over_the_number_the_least_recently_used_go(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, Keeping(count=2))
    for session_id in ("s1", "s2", "s3"):
        shelf.add(session_id)
    held = shelf.take("a", "s1")
    shelf.keep(held, "a", "s1", HOUR)
    held.let_go()
    shelf.tidy()
    assert [session_id for session_id in ("s1", "s2", "s3") if shelf.has(session_id)] == ["s1", "s3"]
    assert len(shelf.left()) == 4


@pytest.mark.parametrize(("size", "kept"), [(2500, ["s2", "s3"]), (0, ["s1", "s2", "s3"]), (10, [])])
def test_over_the_bytes_the_least_recently_used_go(tmp_path: Path, size: int, kept: list[str]) -> None:
    shelf = Shelf(tmp_path, Keeping(size=size))
    for session_id in ("s1", "s2", "s3"):
        shelf.add(session_id, "x" * 1000)
    shelf.tidy()
    assert [session_id for session_id in ("s1", "s2", "s3") if shelf.has(session_id)] == kept


def test_what_is_in_use_is_not_deleted_however_old_it_is(shelf: Shelf) -> None:
    shelf.add("s1", seconds=10)
    held = shelf.take("a", "s1")
    fresh = shelf.fresh()
    shelf.time += HOUR
    shelf.tidy()
    assert held.root.is_dir()
    assert fresh.root.is_dir()
    shelf.keep(held, "a", "s1", HOUR)
    for one in (held, fresh):
        one.let_go()
    assert shelf.has("s1")


def test_what_was_kept_meanwhile_is_not_deleted(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    held = shelf.fresh()
    choose = shelf._chosen

    def keeping_meanwhile(seen: object) -> object:
        shelf.keep(held, "a", "s1", HOUR)
        held.let_go()
        return choose(seen)  # type: ignore[arg-type]

    monkeypatch.setattr(shelf, "_chosen", keeping_meanwhile)
    shelf.tidy()
    assert shelf.has("s1")


def test_what_was_write_protected_is_deleted_too_and_what_a_link_leads_to_is_not(shelf: Shelf, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o500)
    root = shelf.add("s1", seconds=1)
    (root / "work" / "link").symlink_to(outside)
    (root / "work" / "module").mkdir()
    (root / "work" / "module" / "file").touch()
    (root / "work" / "module").chmod(0o500)
    shelf.time += HOUR
    shelf.tidy()
    assert shelf.left() == []
    assert outside.stat().st_mode & 0o777 == 0o500


@pytest.mark.parametrize("text", ["", "{}", "no JSON", '{"agent": 1}'])
def test_a_directory_whose_record_is_none_is_deleted(shelf: Shelf, text: str) -> None:
    root = shelf.add("s1")
    (root / "session.json").write_text(text)
    assert not shelf.has("s1")
    shelf.tidy()
    assert shelf.left() == []


def test_a_place_that_was_never_needed_is_not_made(shelf: Shelf) -> None:
    assert shelf.tidy() is None
    assert not shelf.place.exists()


# Another process.

DIES = """
import os, sys
from pathlib import Path
from taskrun.adapters.agents.sessions.shelf import Keeping, SessionShelf
shelf = SessionShelf(Path(sys.argv[1]), Keeping(), lambda: 1000.0)
held = [shelf.fresh(), shelf.take("a", "s1")]
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_killed_worker_leaves_its_sessions_and_nothing_else(shelf: Shelf) -> None:
    shelf.add("s1", "mine")
    argv = [sys.executable, "-c", DIES, str(shelf.place)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        assert not shelf.has("s1")
        shelf.tidy()
        assert len(shelf.left()) == 3
        worker.kill()
    assert shelf.has("s1")
    shelf.tidy()
    assert len(shelf.left()) == 2
