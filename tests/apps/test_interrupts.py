"""Ctrl-C at any moment of a program's life: never a traceback, never "a bug", never a task that nobody heard of."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.apps.places import PATIENCE, Site, environ

#: Runs a program's entry point and says, with one line on standard output, when Ctrl-C has become harmless.
BEGUN = """
import sys
from taskrun.apps import process

end = process.end_at_ctrl_c
def told():
    end()
    print(flush=True)

process.end_at_ctrl_c = told
sys.argv[1:2] = []
from {module} import {name}
{name}()
"""

#: By the system, by a program that puts something in order first, or too late.
ENDS = {-signal.SIGINT, 130, 0}


def interrupted(module: str, name: str, words: Sequence[str], delay: float, **more: str) -> tuple[int, str]:
    """Lets a program run for so long from its first instruction on; gives how it ended, and all that it said."""
    argv = [sys.executable, "-c", BEGUN.format(module=module, name=name), "-", *words]
    with subprocess.Popen(
        argv,
        env=environ(**more),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        time.sleep(delay)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, said.decode()


def steps(count: int, upto: float) -> list[float]:
    return [upto * number / count for number in range(count)]


def test_ctrl_c_is_quiet_at_any_moment_of_a_list(played: Site) -> None:
    for delay in steps(25, 0.4):
        code, said = interrupted("taskrun.apps.cli", "main", ["list-workers"], delay, **played.variables())
        assert code in ENDS, said
        assert "Traceback" not in said
        assert "bug" not in said


def test_a_task_whose_creation_is_interrupted_is_named_or_not_there(played: Site, tmp_path: Path) -> None:
    gate = tmp_path / "never"
    heard: dict[str, str] = {}
    for number, delay in enumerate(steps(40, 0.5)):
        words = ["create-task", "--agent=gated", f"--input={gate}", f"--label=number={number}", "--label=a=b"]
        watch = ["--watch"] if number % 2 else []
        code, said = interrupted("taskrun.apps.cli", "main", [*words, *watch], delay, **played.variables())
        assert code in ENDS, said
        assert "Traceback" not in said
        assert "bug" not in said
        heard[str(number)] = said
    made = json.loads(played.cli("list-tasks", "--label=a=b", "--json").stdout)["tasks"]
    for task in made:
        assert task["id"] in heard[task["labels"]["number"]]
        played.cli("cancel-task", task["id"])


@pytest.mark.parametrize("name", ["control_plane", "worker"])
def test_ctrl_c_is_quiet_at_any_moment_of_a_programs_start(certs: Path, name: str) -> None:
    words = [f"--certs-dir={certs}", "--log-format=json"]
    more = ["--grpc-addr=[::1]:0", "--http-addr=[::1]:0"] if name == "control_plane" else ["--addr=https://[::1]:1"]
    for delay in steps(12, 1.2):
        code, said = interrupted("taskrun.apps.start", name, [*words, *more], delay)
        assert code in ENDS, said
        assert "Traceback" not in said
        assert "bug" not in said


def test_a_program_that_is_to_ignore_ctrl_c_goes_on_ignoring_it() -> None:
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    says = ignoring + "from taskrun.apps.process import *\nbegin()\nwith ctrl_c_raises(), ctrl_c_waits():\n"
    says += "    signal.raise_signal(signal.SIGINT)\nprint('went on')"
    done = subprocess.run([sys.executable, "-c", says], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "went on\n", "")
