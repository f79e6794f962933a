"""The example of three control planes does what it says, and leaves nothing behind wherever it is broken off."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from taskrun.apps.cli.children import plain_environ
from tests.apps.places import PATIENCE, all_gone, descendants
from tests.postgres import needs_postgres

SCRIPT = Path(__file__).parents[2] / "examples" / "three-control-planes" / "run.py"
#: What it numbers its control planes with, as soon as everything runs.
ADDRESS = re.compile(r"control plane \d, process \d+: https://\[::1\]:\d+")

pytestmark = [needs_postgres, pytest.mark.timeout(180)]


@contextmanager
def script(directory: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The script, with a directory of its own for temporary files."""
    environ = plain_environ() | {"TMPDIR": str(directory)}
    argv = [sys.executable, str(SCRIPT), *arguments]
    process = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)


def read_to(process: subprocess.Popen[str], end: str) -> list[str]:
    """What it says, to the first line that has this in it."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip("\n"))
        if end in line:
            return lines
    raise AssertionError(f"It has ended: {lines}\n{process.communicate(timeout=PATIENCE)[1]}")


def assert_ends_with_all(process: subprocess.Popen[str], number: signal.Signals, directory: Path) -> None:
    started = descendants(process.pid)
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert started
    assert all_gone(started)
    assert list(directory.iterdir()) == []


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """Not below a directory of this user alone: PostgreSQL, which is another's where root runs this, has to pass."""
    with TemporaryDirectory(prefix="three-") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def test_a_run_goes_on_when_its_control_plane_is_killed_and_ctrl_c_ends_all(tmp_path: Path, postgres_url: str) -> None:
    with script(tmp_path, postgres_url) as process:
        lines = read_to(process, "Ctrl-C ends everything.")
        assert [line for line in lines if line.isdigit()] == [str(number) for number in range(1, 21)]
        assert len([line for line in lines if ADDRESS.fullmatch(line)]) == 3
        assert len([line for line in lines if line.startswith("kill -9 of the control plane")]) == 1
        assert "COMPLETED after 1 run" in lines
        [env] = [line.split()[1] for line in lines if line.startswith("  source ")]
        listed = [sys.executable, "-m", "taskrun.apps.cli", "list-workers"]
        typed = f"source {env} && {' '.join(listed)}"
        said = subprocess.run(["bash", "-c", typed], capture_output=True, text=True, timeout=PATIENCE, check=True)
        assert {"worker-1", "worker-2"} <= set(said.stdout.split())
        assert_ends_with_all(process, signal.SIGINT, tmp_path)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_broken_off_in_between_it_leaves_nothing_not_even_its_database(
    open_to_all: Path, number: signal.Signals
) -> None:
    with script(open_to_all) as process:
        read_to(process, "control plane 3,")
        assert_ends_with_all(process, number, open_to_all)
