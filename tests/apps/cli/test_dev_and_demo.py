from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest

from taskrun.apps.cli.stage import DemoFailed, check
from tests.apps.places import CLI, PATIENCE, Site, all_gone, descendants, ended, environ, send

DEV = [*CLI, "dev", "--grpc-addr=[::1]:0", "--http-addr=[::1]:0"]


@pytest.fixture
def no_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)


@pytest.mark.usefixtures("no_provider")
def test_dev_starts_everything_says_what_to_type_and_ends_it_all(site: Site, tmp_path: Path) -> None:
    dev = site.child("dev", [*DEV, f"--dir={tmp_path / 'dev'}"])
    dev.wait_for("Ctrl-C ends it.", PATIENCE)
    family = descendants(dev.pid)
    said = dev.said()
    assert "a scripted model on this machine answers in a real one's place" in said
    variables = dict(re.findall(r"export (TASKRUN_\w+)=(\S+)", said))
    variables["TASKRUN_ADDR"] = variables["TASKRUN_ADDR"].strip("'")
    result = ended([*CLI, "create-task", "--agent=general", "--input=hello", "--watch"], variables=variables)
    assert (result.returncode, result.stdout.strip()) == (0, "You said: hello")
    send(dev, signal.SIGINT)
    dev.wait_for_end(PATIENCE)
    assert dev.exit_code == 0
    assert len(family) >= 3
    assert all_gone(family)


@pytest.mark.usefixtures("no_provider")
def test_dev_says_why_it_cannot_start_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        taken = f"[::1]:{listener.getsockname()[1]}"
        result = ended([*CLI, "dev", f"--grpc-addr={taken}", "--http-addr=[::1]:0", f"--dir={tmp_path}"])
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("The control plane is not up: taskrun-control-plane: Cannot listen on ")
    assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("no_provider")
def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    result = ended([*CLI, "demo"], variables={"TMPDIR": str(tmp_path)})
    assert result.returncode == 0, result.stdout + result.stderr
    assert "a scripted model on this machine answers" in result.stdout
    for happened in (
        "it made its key itself",
        "the task is COMPLETED",
        "its shell command is running",
        "no process of it is left",
        "the control plane ended with exit code 0",
        "All of this really happened",
    ):
        assert happened in result.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_provider")
def test_a_demo_that_is_interrupted_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    demo = site.child("demo", [*CLI, "demo"], TMPDIR=str(tmp_path), PYTHONUNBUFFERED="1")
    demo.wait_for("3  A worker, let in by a one-time token", PATIENCE)
    family = descendants(demo.pid)
    send(demo, signal.SIGTERM)
    demo.wait_for_end(PATIENCE)
    assert demo.exit_code == 130
    assert family
    assert all_gone(family)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_provider")
def test_a_demo_that_breaks_off_says_where_and_what_was_logged(tmp_path: Path) -> None:
    # A Claude Code that cannot be found: nothing on the path but Python.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u; f = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'claude_agent_sdk' else f(name, *rest)\n"
    )
    result = ended([*CLI, "demo"], variables={"PYTHONPATH": str(tmp_path), "PATH": "/nowhere"})
    assert result.returncode == 1, result.stdout
    assert "✗ This did not happen: the task is COMPLETED." in result.stderr
    assert "The worker said:" in result.stderr
    assert "All of this really happened" not in result.stdout


def test_the_demo_does_not_say_what_did_not_happen() -> None:
    with pytest.raises(DemoFailed, match="This did not happen: pigs fly"):
        check(False, "pigs fly")


def test_a_program_of_the_demo_hears_of_no_setting_that_is_meant_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKRUN_ADDR", "https://elsewhere:1")
    assert not any(name.startswith("TASKRUN_") for name in environ())
