from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import taskrun.apps.control_plane
import taskrun.apps.worker
from taskrun.adapters.ca.files import init_certs
from taskrun.apps.exits import run
from taskrun.apps.program import CODES
from tests.apps.places import AGENTS, Site


@dataclass(frozen=True)
class Ended:
    """How a program ended."""

    code: int
    out: str
    err: str


Program = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TASKRUN_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def control_plane(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs a control plane that does not start, in this process and in a directory of its own."""
    return program(taskrun.apps.control_plane, capsys, monkeypatch, tmp_path)


@pytest.fixture
def worker(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Program:
    """Runs a worker that does not start, in this process and in a directory of its own."""
    return program(taskrun.apps.worker, capsys, monkeypatch, tmp_path)


def program(
    module: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, directory: Path
) -> Program:
    monkeypatch.chdir(directory)
    # The log, the collector and the signals are this process's, not the program's.
    for name in ("configure", "collect_rarely", "on_stop", "ignore_stops"):
        monkeypatch.setattr(module, name, lambda *_: None)

    def invoke(*words: str) -> Ended:
        monkeypatch.setattr("sys.argv", [module.NAME, *words])
        code = run(module.command, module.NAME, CODES)
        return Ended(code, *capsys.readouterr())

    return invoke


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("certs")
    init_certs(directory)
    return directory


@pytest.fixture
def site(certs: Path) -> Iterator[Site]:
    """Nothing is started yet."""
    site = Site(certs)
    yield site
    site.close()


@pytest.fixture
def agents(tmp_path: Path) -> Path:
    """A worker.toml."""
    path = tmp_path / "worker.toml"
    path.write_text(AGENTS)
    return path


@pytest.fixture(scope="module")
def played(certs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A control plane and a worker."""
    config = tmp_path_factory.mktemp("worker") / "worker.toml"
    config.write_text(AGENTS)
    site = Site(certs)
    try:
        site.start()
        site.worker(config=config)
        yield site
    finally:
        site.close()
