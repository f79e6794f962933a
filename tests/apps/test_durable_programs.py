"""What a control plane was told outlives its process; and a database that cannot be had is one line."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from tests.apps.conftest import Program
from tests.apps.places import PLANE, Site, ended, send


def _tasks(site: Site) -> dict[str, str]:
    listed = json.loads(site.cli("--json", "list-tasks").stdout)
    return {task["id"]: task["status"] for task in listed["tasks"]}


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The flag for a store that outlives the process."""
    if request.param == "sqlite":
        return f"--store=sqlite:{tmp_path / 'data' / 'tasks.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return f"--store={url.replace('taskrun@', 'taskrun:secret@')}"


def test_a_killed_control_plane_goes_on_where_it_was(site: Site, tmp_path: Path, agents: Path, store: str) -> None:
    plane = site.start(store)
    worker = site.worker(config=agents)
    done = site.cli("create-task", "--agent=echo", "--input=1", "--watch")
    assert done.returncode == 0, done.stderr
    worker.stop()
    waiting = site.cli("create-task", "--agent=echo", "--input=2", "--idempotency-key=k").stdout.strip()
    token = site.cli("create-token", "--worker-id=late").stdout.strip()
    before = _tasks(site)
    send(plane, signal.SIGKILL)

    site.start(store)
    assert _tasks(site) == before
    assert before[waiting] == "PENDING"
    again = site.cli("create-task", "--agent=echo", "--input=2", "--idempotency-key=k").stdout.strip()
    assert again == waiting
    worker = site.worker(
        f"--enroll={site.http_addr}", f"--token={token}", f"--certs-dir={tmp_path / 'late'}", config=agents
    )
    assert worker.wait_for("enrolled")["worker_id"] == "late"
    assert site.cli("watch-task", waiting).returncode == 0
    assert _tasks(site)[waiting] == "COMPLETED"


def test_a_control_plane_removes_what_ended_longer_ago_than_it_is_told(site: Site, agents: Path, store: str) -> None:
    plane = site.start(store)
    site.worker(config=agents)
    assert site.cli("create-task", "--agent=echo", "--input=1", "--watch").returncode == 0
    kept = site.cli("create-task", "--agent=echo", "--input=2", "--idempotency-key=k").stdout.strip()
    assert site.cli("watch-task", kept).returncode == 0
    send(plane, signal.SIGKILL)

    site.start(store, "--retention-age=1ms")
    until = time.monotonic() + 20
    while len(_tasks(site)) > 1:
        assert time.monotonic() < until
    assert _tasks(site) == {kept: "COMPLETED"}


def test_the_second_control_plane_on_a_database_is_refused(site: Site, tmp_path: Path) -> None:
    data = f"--data-dir={tmp_path / 'data'}"
    plane = site.start("--store=sqlite", data)
    second = ended([*PLANE, f"--certs-dir={site.certs}", "--store=sqlite", data])
    assert second.returncode == 2
    assert f"taskrun.db is in use by process {plane.pid}: only one at a time" in second.stderr
    assert second.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("file/tasks.db", "file/tasks.db cannot be opened: "),
        ("directory", "directory cannot be opened: Is a directory."),
        ("file", "file is no SQLite database."),
    ],
)
def test_a_database_that_cannot_be_had_is_one_line(
    certs: Path, tmp_path: Path, control_plane: Program, place: str, message: str
) -> None:
    (tmp_path / "file").write_text("no database " * 1000)
    (tmp_path / "directory").mkdir()
    result = control_plane(f"--certs-dir={certs}", f"--store=sqlite:{place}")
    assert result.code == 2
    assert message in result.err
    assert result.err.count("\n") == 1
