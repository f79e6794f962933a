"""A certificate and its key are replaced as one, whatever happens in between."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.enroll_keys import new_key_and_csr
from taskrun.adapters.ca.pair_files import PairFiles
from taskrun.adapters.system.clock import SystemClock
from taskrun.domain.errors import FailedPrecondition


class Scene:
    """A worker's directory with a pair, and another pair that is to take its place."""

    def __init__(self, certs: Path, place: Path) -> None:
        self.place = place
        self._authority = FileAuthority(certs / "ca.crt", certs / "ca.key", SystemClock())
        self.files = PairFiles(place / "worker.crt", place / "worker.key")
        self.key, self.certificate = self.make()
        (place / "worker.key").touch(mode=0o600)
        (place / "worker.key").write_bytes(self.key)
        (place / "worker.crt").write_bytes(self.certificate)
        self.next_key, self.next_certificate = self.make()

    def make(self) -> tuple[bytes, bytes]:
        key, csr = new_key_and_csr()
        return key, self._authority.sign_worker(csr, "w").certificate_pem

    def replace(self) -> None:
        self.files.stage(self.next_key)
        self.files.commit(self.next_certificate)

    def holds(self, certificate: bytes) -> bool:
        return holds(self.place, certificate)


def holds(place: Path, certificate: bytes) -> bool:
    pair = PairFiles(place / "worker.crt", place / "worker.key").load()
    assert isinstance(pair.key, ec.EllipticCurvePrivateKey)
    assert pair.key.public_key() == pair.certificate.public_key()
    # And so it is from now on for a program that knows nothing of all this.
    assert (place / "worker.key").read_bytes() == pair.key_pem
    assert (place / "worker.key").stat().st_mode & 0o777 == 0o600
    return pair.certificate_pem == certificate


@pytest.fixture
def scene(certs: Path, tmp_path: Path) -> Scene:
    place = tmp_path / "worker"
    place.mkdir()
    return Scene(certs, place)


def test_a_replaced_pair_is_the_new_one_and_nothing_else_is_left(scene: Scene) -> None:
    scene.replace()
    assert scene.holds(scene.next_certificate)
    assert sorted(path.name for path in scene.place.iterdir()) == ["worker.crt", "worker.key"]


def test_whoever_only_looks_finds_the_same_and_leaves_what_was_interrupted_to_its_owner(scene: Scene) -> None:
    assert scene.files.look().certificate_pem == scene.certificate
    scene.files.stage(scene.next_key)
    (scene.place / "worker.crt").write_bytes(scene.next_certificate)
    before = {path.name: path.read_bytes() for path in scene.place.iterdir()}
    assert scene.files.look().key_pem == scene.next_key
    assert {path.name: path.read_bytes() for path in scene.place.iterdir()} == before
    assert scene.holds(scene.next_certificate)


def test_a_crash_at_any_moment_leaves_a_working_pair(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory is copied before and after each call that changes a disk: so it is found after a crash there."""
    copies: list[Path] = []

    def copied(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            copies.append(shutil.copytree(scene.place, scene.place.with_name(f"copy-{len(copies)}")))
            return function(*args, **kwargs)

        return call

    for name in ("open", "fsync", "fchmod", "replace", "rename", "unlink"):
        monkeypatch.setattr(os, name, copied(getattr(os, name)))
    monkeypatch.setattr(Path, "replace", copied(Path.replace))
    scene.replace()
    monkeypatch.undo()
    outcomes = [holds(copy, scene.next_certificate) or not holds(copy, scene.certificate) for copy in copies]
    # First all are old, then all are new, and there are some of both.
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}
    assert len(outcomes) > 8


def test_a_staged_key_changes_nothing_and_can_be_forgotten(scene: Scene) -> None:
    scene.files.stage(scene.next_key)
    assert scene.holds(scene.certificate)
    scene.files.discard()
    scene.files.discard()
    assert sorted(path.name for path in scene.place.iterdir()) == ["worker.crt", "worker.key"]


def test_the_key_of_an_interrupted_replacement_is_not_lost_to_the_next(scene: Scene) -> None:
    scene.files.stage(scene.next_key)
    (scene.place / "worker.crt").write_bytes(scene.next_certificate)
    third, _ = scene.make()
    scene.files.stage(third)
    assert scene.holds(scene.next_certificate)


def test_a_key_that_is_staged_for_another_certificate_does_not_help(scene: Scene) -> None:
    scene.files.stage(scene.next_key)
    _, third = scene.make()
    (scene.place / "worker.crt").write_bytes(third)
    with pytest.raises(FailedPrecondition, match=r"worker\.key is not the key of"):
        scene.files.load()


def test_a_directory_that_is_gone_is_said_to_be(scene: Scene) -> None:
    shutil.rmtree(scene.place)
    with pytest.raises(FailedPrecondition, match="missing"):
        scene.files.stage(scene.next_key)


def test_what_cannot_be_written_is_said_and_the_old_pair_stays(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FailedPrecondition, match="cannot be written: No space left on device"):
        scene.files.stage(scene.next_key)
    monkeypatch.undo()
    assert scene.holds(scene.certificate)
