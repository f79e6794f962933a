from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from taskrun.apps.cli.children import WORKER, Child
from taskrun.apps.work_dir import PREFIX, delete_if_abandoned, temporary_work_dir
from tests.apps.places import PATIENCE, Site, send


@pytest.fixture
def tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_it_is_this_user_s_alone_and_gone_afterwards(tmp: Path) -> None:
    with temporary_work_dir() as directory:
        assert directory.parent == tmp
        assert directory.stat().st_mode & 0o777 == 0o700
        (directory / "run-1").mkdir()
    assert list(tmp.iterdir()) == []


def test_that_of_a_living_worker_is_left_alone(tmp: Path) -> None:
    with temporary_work_dir() as first, temporary_work_dir() as second:
        assert first.is_dir()
        assert second.is_dir()


def test_what_only_looks_like_one_is_left_alone(tmp: Path) -> None:
    (tmp / f"{PREFIX}file").touch()
    (tmp / "mine").mkdir()
    (tmp / f"{PREFIX}link").symlink_to(tmp / "mine")
    (tmp / "other").mkdir()
    with temporary_work_dir():
        pass
    assert {path.name for path in tmp.iterdir()} == {f"{PREFIX}file", "mine", f"{PREFIX}link", "other"}


def test_another_user_s_is_left_alone(tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    abandoned = tmp / f"{PREFIX}abandoned"
    abandoned.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: abandoned.stat().st_uid + 1)
    delete_if_abandoned(abandoned)
    assert abandoned.is_dir()
    monkeypatch.undo()
    delete_if_abandoned(abandoned)
    assert not abandoned.exists()


def test_what_a_killed_worker_leaves_is_deleted_by_the_next_one(site: Site, tmp_path: Path) -> None:
    tmp = tmp_path / "tmp"
    tmp.mkdir()

    def started() -> tuple[Child, set[Path]]:
        """A worker that is up, and the directories that are there then."""
        argv = [*WORKER, f"--certs-dir={site.certs}", "--addr=https://[::1]:1"]
        worker = site.child("worker", argv, TMPDIR=str(tmp))
        worker.wait_for("working for https://[::1]:1", PATIENCE)
        return worker, set(tmp.iterdir())

    living, first = started()
    killed, both = started()
    send(killed, signal.SIGKILL)
    killed.wait_for_end(PATIENCE)
    assert set(tmp.iterdir()) == both
    _, left = started()
    assert len(left) == 2
    assert left > first
    living.stop()
