from __future__ import annotations

from pathlib import Path

import pytest

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.files import init_certs
from taskrun.adapters.system.clock import SystemClock
from taskrun.testing.contracts.authority import AuthorityContract


class TestFileAuthority(AuthorityContract):
    @pytest.fixture
    def clock(self) -> SystemClock:
        return SystemClock()

    @pytest.fixture
    def authority(self, tmp_path: Path, clock: SystemClock) -> FileAuthority:
        init_certs(tmp_path)
        return FileAuthority(tmp_path / "ca.crt", tmp_path / "ca.key", clock)
