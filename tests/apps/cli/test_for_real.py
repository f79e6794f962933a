"""The command line as a process, against a control plane and a worker that are processes too."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.apps.places import CLI, PATIENCE, Site, ended, environ, send


def test_a_task_that_completes_is_exit_code_0(played: Site) -> None:
    result = played.cli("create-task", "--agent=echo", "--input=hello", "--watch")
    assert (result.returncode, result.stdout) == (0, "hello")
    assert "· COMPLETED" in result.stderr


def test_a_task_that_fails_is_exit_code_1(played: Site) -> None:
    result = played.cli("create-task", "--agent=failing", "--input=x", "--watch")
    assert (result.returncode, result.stdout) == (1, "so far\n")
    assert "FAILED (agent_error): " in result.stderr


def test_a_task_that_is_cancelled_is_exit_code_1(played: Site) -> None:
    task_id = played.cli("create-task", "--agent=nobody", "--input=x").stdout.strip()
    assert played.cli("cancel-task", task_id).stdout == f"Task {task_id} is CANCELLED.\n"
    assert played.cli("watch-task", task_id).returncode == 1
    assert played.cli("cancel-task", task_id).returncode == 2


def test_a_task_that_waits_says_why(played: Site) -> None:
    made = played.cli("create-task", "--agent=nobody", "--input=x")
    task_id = made.stdout.strip()
    told = played.cli("explain", task_id).stdout.splitlines()
    assert told[0] == f"Task {task_id} is PENDING: no connected worker offers the agent nobody."
    assert told[-1].endswith("  does not offer the agent nobody")
    form = json.loads(played.cli("explain", task_id, "--json").stdout)
    assert (form["ahead"], form["workers_looked_at"]) == ({"tasks": 0, "or_more": False}, 1)
    played.cli("cancel-task", task_id)
    assert played.cli("explain", task_id).stdout == f"Task {task_id} is CANCELLED: it has ended.\n"


def test_a_certificate_lets_the_command_line_in_and_no_other(played: Site) -> None:
    listed = played.cli("list-tasks", "--json")
    assert json.loads(listed.stdout)["tasks"][0]["created_by"] == "admin"
    worker = {"TASKRUN_CERT": str(played.certs / "worker.crt"), "TASKRUN_KEY": str(played.certs / "worker.key")}
    refused = ended([*CLI, "list-tasks"], variables=played.variables() | worker)
    assert refused.returncode == 3
    assert refused.stderr.startswith("taskrun: ")
    assert refused.stderr.count("\n") == 1


def test_nobody_there_is_exit_code_3(played: Site) -> None:
    result = played.cli("list-tasks", "--addr=https://[::1]:1")
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr.startswith("taskrun: Cannot reach https://[::1]:1")
    assert result.stderr.count("\n") == 1


def test_an_unknown_task_is_exit_code_2(played: Site) -> None:
    for command in ("get-task", "watch-task", "explain", "cancel-task"):
        assert played.cli(command, "nobody-knows-it").returncode == 2


def test_lists_find_by_label_agent_and_status(played: Site) -> None:
    played.cli("create-task", "--agent=echo", "--input=x", "--label=find=me", "--watch")
    found = played.cli("list-tasks", "--label=find=me", "--agent=echo", "--status=COMPLETED").stdout.splitlines()
    assert len(found) == 2
    assert "find=me" in found[1]


def test_output_comes_while_the_task_runs_and_ctrl_c_leaves_it_running(played: Site, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    watcher = played.child(
        "watcher", [*CLI, "create-task", "--agent=gated", f"--input={gate}", "--watch"], **played.variables()
    )
    task_id = str(watcher.wait_for("", PATIENCE)["message"]).removeprefix("task ")
    watcher.wait_for("begun", PATIENCE)
    send(watcher, signal.SIGINT)
    said = watcher.wait_for_end(PATIENCE)
    assert watcher.exit_code == 130
    assert said.startswith(f"The task goes on. Come back to it: taskrun watch-task {task_id} --from-seq ")
    gate.touch()
    words = said.partition(": taskrun ")[2].split()
    rest = played.cli(*words)
    assert (rest.returncode, rest.stdout) == (0, "done\n")


def test_on_a_terminal_it_speaks_in_colour(played: Site) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*CLI, "list-workers"], env=environ(**played.variables(), TERM="xterm"), stdout=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        # A terminal whose last writer has gone is read as an error.
        try:
            while data := os.read(ours, 4096):
                shown += data
        except OSError:
            pass
    os.close(ours)
    assert process.returncode == 0
    assert b"\x1b[32mIDLE" in shown


def test_a_reader_that_leaves_early_is_no_traceback(played: Site) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with subprocess.Popen(
        [*CLI, "list-workers"], env=environ(**played.variables()), stdout=writes, stderr=subprocess.PIPE
    ) as process:
        os.close(writes)
        assert process.stderr is not None
        said = process.stderr.read()
    assert b"Traceback" not in said


#: From cold to the list on the screen; the rest of it is waiting for an answer.
LIST_SECONDS = 0.25
#: Runs of which the best counts: what else the machine does is not this program's fault.
RUNS = 20


def costs(argv: list[str], **more: str) -> Iterator[float]:
    """Seconds of processor time, run after run."""
    for _ in range(RUNS):
        before = os.times()
        subprocess.run(argv, env=environ(**more), stdout=subprocess.DEVNULL, check=True, timeout=PATIENCE)
        after = os.times()
        yield after.children_user + after.children_system - before.children_user - before.children_system


def test_a_list_costs_little_more_than_its_libraries(played: Site) -> None:
    libraries = costs([sys.executable, "-c", "import rich_click, grpc, taskrun.v1.task_service_pb2"])
    whole = costs([*CLI, "list-tasks"], **played.variables())
    assert any(ours < 1.8 * theirs for ours, theirs in zip(whole, libraries, strict=True))


@pytest.mark.alone
def test_a_list_computes_for_at_most_a_quarter_of_a_second(played: Site) -> None:
    assert any(cost <= LIST_SECONDS for cost in costs([*CLI, "list-tasks"], **played.variables()))


#: What no command that talks to a control plane may load.
HEAVY = ("dependency_injector", "pydantic", "loguru", "starlette", "uvicorn", "prometheus_client", "cryptography")


@pytest.mark.parametrize(
    ("words", "heavy"),
    [(["--help"], (*HEAVY, "grpc", "msgspec")), (["list-tasks"], (*HEAVY, "rich.table", "msgspec"))],
)
def test_nothing_heavy_is_loaded(played: Site, words: list[str], heavy: tuple[str, ...]) -> None:
    program = (
        "import sys; from taskrun.apps.cli.root import cli, CODES; from taskrun.apps.exits import run; "
        f"sys.argv = ['taskrun', *{words!r}]; run(cli, 'taskrun', CODES); "
        f"sys.stderr.write(' '.join(name for name in {heavy!r} if name in sys.modules))"
    )
    result = ended([sys.executable, "-c", program], variables=played.variables())
    assert (result.returncode, result.stderr) == (0, "")
