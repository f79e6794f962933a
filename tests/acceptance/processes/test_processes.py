"""All the features through real processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_bdd import scenarios

from tests.acceptance.processes.control_plane import ControlPlaneProcess
from tests.acceptance.processes.fleet import ProcessesDriver

scenarios(".")


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlaneProcess]:
    with ControlPlaneProcess(tmp_path_factory.mktemp("plane")) as plane:
        yield plane


@pytest.fixture
def driver(plane: ControlPlaneProcess, tmp_path: Path) -> Iterator[ProcessesDriver]:
    with ProcessesDriver(plane, tmp_path) as driver:
        yield driver
