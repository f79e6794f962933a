from __future__ import annotations

from pathlib import Path

import pytest

from taskrun.adapters.ca.files import init_certs


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of `init_certs`, to be read only."""
    directory = tmp_path_factory.mktemp("certs")
    init_certs(directory, ["control.example.com", "192.0.2.7"])
    return directory
