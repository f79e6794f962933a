from __future__ import annotations

import json
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from taskrun.apps.cli.stage import DemoFailed, check
from taskrun.apps.exits import INTERRUPTED, OK, UNHEARD
from tests.apps.places import CLI, PATIENCE, Site, all_gone, descendants, ended, environ, send

ROOT = Path(__file__).parents[3]
README_PART = (ROOT / "README.md").read_text().split("## Play with it")[1].split("\n## ")[0]
#: What the README's "Play with it" types in the other terminal.
README_LINES = re.findall(r"^taskrun (?!dev).*", README_PART, re.MULTILINE)
DEMO_SECONDS = 60
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
    assert f"source {tmp_path / 'dev' / 'env'}" in said
    hints = [f"taskrun {words}" for words in re.findall(r"^  \S+ ((?:create|list|cancel)-.*)$", said, re.MULTILINE)]
    assert len(hints) == 7
    task_id = ""
    for line in [*README_LINES, *hints]:
        words = re.sub(r"\bID\b", task_id, line)
        typed = f'source dev/env; taskrun() {{ {shlex.join(CLI)} "$@"; }}; {words}'
        result = ended(["bash", "-ec", typed], tmp_path)
        assert result.returncode == 0, f"{line}: {result.stderr}"
        if "slow" in line:
            assert result.stdout.strip() == "some words, one after the other"
        elif "recall" in line:
            assert result.stdout == "You told me before:\nI am Ann."
        elif "explain" in line:
            assert "no worker that offers the agent general has the labels that it asks for" in result.stdout
        if "bash" in line or "prints an ID" in line:
            task_id = result.stdout.strip()
        elif named := re.match(r"task (\S+)", result.stderr):
            task_id = named[1]
    send(dev, signal.SIGINT)
    dev.wait_for_end(PATIENCE)
    assert dev.exit_code == 0
    assert len(family) >= 3
    assert all_gone(family)


def test_the_readme_has_lines_to_play_with() -> None:
    first = ["create-task", "list-tasks", "list-workers", "create-task", "create-task", "cancel-task", "get-task"]
    then = ["create-task", "explain", "create-task", "continue-task", "get-task"]
    assert [line.split()[1] for line in README_LINES] == [*first, *then]
    assert README_PART.index("source .venv/bin/activate") < README_PART.index("source .taskrun-dev/env")


@pytest.mark.usefixtures("no_provider")
def test_dev_tells_a_program_in_one_line_what_is_ready(tmp_path: Path) -> None:
    argv = [*DEV, "--json", f"--dir={tmp_path}"]
    with subprocess.Popen(argv, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as dev:
        assert dev.stdout is not None
        ready = json.loads(dev.stdout.readline())
        dev.send_signal(signal.SIGINT)
        assert (dev.stdout.read(), dev.wait(PATIENCE)) == (b"", 0)
    assert ready["addr"].startswith("https://[::1]:")
    assert ready["http_addr"].startswith("http://[::1]:")
    assert (ready["env"], ready["scripted_model"]) == (str(tmp_path / "env"), True)


@pytest.mark.usefixtures("no_provider")
def test_dev_says_why_it_cannot_start_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listener:
        taken = f"[::1]:{listener.getsockname()[1]}"
        result = ended([*CLI, "dev", f"--grpc-addr={taken}", "--http-addr=[::1]:0", f"--dir={tmp_path}"])
    assert result.returncode == 1
    why, last = result.stderr.splitlines()
    assert why.strip().startswith(f"control plane │ taskrun-control-plane: Cannot listen on https://{taken}: ")
    assert last == "The control plane is not up."


#: Writes down each program that Python runs: its words, and where.
DIARY = """
import json, os, sys
with open(os.environ["DIARY"], "a") as diary:
    diary.write(json.dumps([os.getcwd(), sys.orig_argv]) + "\\n")
"""


def programs_of(diary: Path) -> list[tuple[str, list[str]]]:
    """Where each of our programs ran, and with what words, its name being the first."""
    names = {"taskrun.apps.cli": "taskrun", "taskrun.apps.worker": "taskrun-worker"}
    names["taskrun.apps.control_plane"] = "taskrun-control-plane"
    ran = [json.loads(line) for line in diary.read_text().splitlines()]
    return [(cwd, [names[words[2]], *words[3:]]) for cwd, words in ran if words[1] == "-m" and words[2] in names]


def typed_in(shown: str) -> list[list[str]]:
    """The words of each command that the demo shows, without variables before it and the & behind it."""
    lines = [shlex.split(line, comments=True) for line in re.findall(r"^  \$ (.*)", shown, re.MULTILINE)]
    return [[word for word in words if word != "&" and not word.startswith("TASKRUN_")] for words in lines]


@pytest.mark.usefixtures("no_provider")
def test_the_demo_tells_the_whole_story(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(DIARY)
    diary, tmp_path = tmp_path / "diary", tmp_path / "tmp"
    tmp_path.mkdir()
    variables = {"TMPDIR": str(tmp_path), "DIARY": str(diary), "PYTHONPATH": str(diary.parent)}
    began = time.monotonic()
    result = ended([*CLI, "demo", "--json"], variables=variables)
    assert time.monotonic() - began < DEMO_SECONDS
    assert result.returncode == 0, result.stdout + result.stderr
    *steps, end = map(json.loads, result.stdout.splitlines())
    assert [step["step"] for step in steps] == list(range(1, 9))
    assert all(step["happened"] for step in steps)
    assert 0 < end["seconds"] < DEMO_SECONDS
    assert "a scripted model on this machine answers" in result.stderr
    for happened in (
        "it made its key itself",
        "the task is COMPLETED",
        "its shell command is running",
        "no process of it is left",
        "the control plane ended with exit code 0",
        "All of this really happened",
    ):
        assert happened in result.stderr
    assert list(tmp_path.iterdir()) == []
    # What it shows is what it did, word for word, and where it says.
    ran, shown = programs_of(diary), typed_in(result.stderr)
    assert shown[0] == ["cd", ran[1][0]]
    ours = [words for words in shown if words[0].startswith("taskrun")]
    assert len(ours) == 10
    for words in ours:
        assert (ran[1][0], words) in ran
    assert {words[0] for words in shown} - {words[0] for words in ours} == {"cd", "export", "kill"}


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
@pytest.mark.parametrize(
    ("words", "up"), [(["demo"], b"3  A worker, let in"), (DEV[len(CLI) :], b"Ctrl-C ends it.")], ids=["demo", "dev"]
)
def test_a_terminal_that_is_closed_leaves_nothing_behind(tmp_path: Path, words: list[str], up: bytes) -> None:
    (tmp_path / "tmp").mkdir()
    ours, theirs = pty.openpty()
    argv = ["setsid", "--ctty", *CLI, *words]
    with subprocess.Popen(
        argv, cwd=tmp_path, env=environ(TMPDIR=str(tmp_path / "tmp")), stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        while up not in shown:
            shown += os.read(ours, 4096)
        family = descendants(process.pid)
        os.close(ours)
        process.wait(PATIENCE)
    # It may have noticed first that nobody reads any more.
    assert process.returncode in (OK, INTERRUPTED, UNHEARD)
    assert family
    assert all_gone(family)
    assert list((tmp_path / "tmp").iterdir()) == []


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
