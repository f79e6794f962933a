from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from taskrun.adapters.grpc.tls import ClientTls
from taskrun.apps.cli import connection
from taskrun.apps.cli.root import CODES, cli
from taskrun.apps.exits import run
from tests.apps.cli.stub import StubClient
from tests.apps.conftest import Ended

Taskrun = Callable[..., Ended]


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StubClient:
    """Whoever connects gets this client; `asked` begins with the addresses. Certificate files are there."""
    stub = StubClient()

    def connect(addresses: Sequence[str], tls: ClientTls) -> StubClient:
        stub.asked.append(addresses)
        return stub

    monkeypatch.chdir(tmp_path)
    (tmp_path / "certs").mkdir()
    for name, kind in (("ca.crt", "CERTIFICATE"), ("client.crt", "CERTIFICATE"), ("client.key", "PRIVATE KEY")):
        (tmp_path / "certs" / name).write_text(f"-----BEGIN {kind}-----\n-----END {kind}-----\n")
        (tmp_path / "certs" / name).chmod(0o600)
    monkeypatch.setattr(connection, "Client", connect)
    return stub


@pytest.fixture
def taskrun(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Taskrun:
    """Runs the command line in this process."""

    def invoke(*words: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["taskrun", *words])
        code = run(cli, "taskrun", CODES)
        out, err = capsys.readouterr()
        return Ended(code, out, err)

    return invoke
