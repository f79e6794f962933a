"""Standard streams that are full, closed, or that nobody reads: said in one line, and never taken for a failed task."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.apps.places import CLI, PATIENCE, PLANE, Site, environ

FULL = "taskrun: Standard output cannot be written: No space left on device.\n"
CLOSED = "taskrun: Standard output cannot be written: Bad file descriptor.\n"


def shell(site: Site, script: str, unbuffered: str = "") -> tuple[int, str]:
    """What bash makes of it, with `$@` for the command line: its exit code, and what came on standard error."""
    done = subprocess.run(
        ["bash", "-c", script, "bash", *CLI],
        env=environ(**site.variables(), PYTHONUNBUFFERED=unbuffered),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", ["list-tasks", "list-workers --json", "get-task $task", "--help", "completion bash"])
@pytest.mark.parametrize(("to", "said"), [(">/dev/full", FULL), (">&-", CLOSED)], ids=["full", "closed"])
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_output_that_cannot_be_written_is_one_line_and_exit_code_4(
    played: Site, words: str, to: str, said: str, unbuffered: str
) -> None:
    task = played.cli("create-task", "--agent=nobody", "--input=x").stdout.strip()
    assert shell(played, f"task={task}; " + '"$@" ' + f"{words} {to}", unbuffered) == (4, said)


@pytest.mark.parametrize("more", ["", "--watch", "--json", "--json --watch"])
def test_a_task_that_was_created_is_named_though_its_answer_cannot_be_written(played: Site, more: str) -> None:
    code, said = shell(played, f'"$@" create-task --agent=echo --input=hello {more} >/dev/full')
    assert code == 4
    assert "task " in said
    assert said.endswith(FULL)


def test_output_that_nobody_reads_ends_it_quietly_as_other_tools_do(played: Site) -> None:
    assert shell(played, '"$@" list-tasks | true; exit ${PIPESTATUS[0]}')[1] == ""
    code, said = shell(played, '(sleep 1; "$@" list-tasks) | true; exit ${PIPESTATUS[0]}')
    assert (code, said) == (141, "")


def test_input_from_a_closed_standard_input_is_one_line(played: Site) -> None:
    code, said = shell(played, '"$@" create-task --agent=echo --input-file - <&-')
    assert (code, said) == (2, "taskrun: Standard input is closed: there is nothing to read.\n")


def test_remarks_that_nobody_can_hear_harm_nothing(played: Site) -> None:
    for to in ("2>/dev/full", "2>&-"):
        assert shell(played, f'"$@" create-task --agent=echo --input=hello --watch {to}')[0] == 0


def test_a_program_without_standard_streams_starts_all_the_same(tmp_path: Path) -> None:
    script = f"exec {' '.join(PLANE)} --certs-dir=nowhere <&- >&- 2>&-".replace("[", "'[").replace("]:0", "]:0'")
    done = subprocess.run(["bash", "-c", script], env=environ(), cwd=tmp_path, timeout=PATIENCE, check=False)
    assert done.returncode == 2


def test_what_is_left_unwritten_when_something_else_goes_wrong_harms_nothing() -> None:
    says = (
        "import sys, rich_click as click\nfrom taskrun.apps.process import begin\nfrom taskrun.apps.exits import run\n"
        "from taskrun.domain.errors import NotFound, TaskRunError\nbegin()\n"
        "def say(): sys.stdout.write('unwritten'); raise NotFound('It is not there.')\n"
        "sys.exit(run(click.Command('x', callback=say), 'x', {TaskRunError: 3}))"
    )
    with Path("/dev/full").open("w") as full:
        buffered = {name: value for name, value in environ().items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(
            [sys.executable, "-c", says], env=buffered, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (3, "x: It is not there.\n")
