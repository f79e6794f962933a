"""Sites of real processes. Everything a test starts is ended with it, by process id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site of its own, with a control plane."""
    with Site(tmp_path) as site:
        site.start_plane()
        yield site


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """What the agent `gate` waits for: touch it."""
    return tmp_path / "gate"
