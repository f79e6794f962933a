"""All the features in this process."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pytest_bdd import scenarios

from taskrun.adapters.ca.files import init_certs
from taskrun.testing.clock import JumpingClock
from tests.acceptance.in_process.plane import InProcessDriver

scenarios(".")


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("in-process") / "certs"
    init_certs(directory, now=datetime.fromtimestamp(JumpingClock().now().utc_ms / 1000, UTC))
    return directory


@pytest.fixture
def driver(certs: Path) -> Iterator[InProcessDriver]:
    with InProcessDriver(certs, JumpingClock()) as driver:
        yield driver
