"""The units of systemd: they are right, they are hardened, and they fit the programs that they start."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from taskrun.apps.configuration import config_variable_of, table
from taskrun.apps.exits import USAGE
from taskrun.apps.settings import ControlPlaneSettings, WorkerSettings
from taskrun.domain.timers import DaemonTimers

ROOT = Path(__file__).parents[2]
UNITS = {path.stem: path for path in sorted((ROOT / "deploy/systemd").glob("*.service"))}
PAGE = (ROOT / "docs/systemd.md").read_text()
SETTINGS: dict[str, type] = {"taskrun-control-plane": ControlPlaneSettings, "taskrun-worker": WorkerSettings}

#: By what systemd makes of it, from 0 to 10: below 2 is safe, below 5 is OK. A worker's agents need more than we do.
EXPOSURE = {"taskrun-control-plane": 1.5, "taskrun-worker": 3.0}

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="WARNING: there is no systemd-analyze: the units are not tried"
)


def values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", UNITS[unit].read_text(), re.MULTILINE)


def analyze(*arguments: str) -> str:
    done = subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit, for the programs of this environment."""
    source = UNITS[request.param]
    path = tmp_path / source.name
    path.write_text(source.read_text().replace("/opt/taskrun/bin", str(Path(sys.executable).parent)))
    return path


def test_each_program_has_its_unit() -> None:
    assert set(UNITS) == set(SETTINGS) == set(EXPOSURE)


@needs_systemd
@pytest.mark.parametrize("installed", UNITS, indirect=True)
def test_systemd_understands_all_of_it(installed: Path) -> None:
    assert analyze("verify", "--man=no", str(installed)) == ""


@needs_systemd
@pytest.mark.parametrize("installed", UNITS, indirect=True)
def test_it_is_exposed_no_further_than_it_must_be(installed: Path) -> None:
    threshold = round(EXPOSURE[installed.stem] * 10)
    told = analyze("security", "--offline=yes", "--no-pager", f"--threshold={threshold}", str(installed))
    assert re.search(rf"Overall exposure level for {installed.name}: [\d.]+ OK", told)


@pytest.mark.parametrize("unit", UNITS)
def test_it_starts_the_program_as_it_is_called_and_names_variables_that_there_are(unit: str) -> None:
    assert values(unit, "ExecStart") == [f"/opt/taskrun/bin/{unit}"]
    assert values(unit, "ExecStartPre") == [f"/opt/taskrun/bin/{unit} --check"]
    known = {row.variable for row in table(SETTINGS[unit])} | {config_variable_of(unit)}
    assert set(re.findall(r"TASKRUN_\w+", UNITS[unit].read_text())) <= known


@pytest.mark.parametrize("unit", UNITS)
def test_only_the_program_itself_is_told_to_end(unit: str) -> None:
    """Agents that got the worker's SIGTERM would end instead of draining."""
    assert values(unit, "KillMode") == ["mixed"]
    assert values(unit, "RestartPreventExitStatus") == [str(USAGE)]


def test_a_worker_gets_the_time_that_a_drain_takes() -> None:
    timers = DaemonTimers()
    [seconds] = values("taskrun-worker", "TimeoutStopSec")
    assert int(seconds) > timers.drain + timers.stop_grace


@pytest.mark.parametrize("unit", UNITS)
def test_what_it_reads_and_writes_is_on_the_page(unit: str) -> None:
    for key in ("EnvironmentFile", "StateDirectory"):
        [place] = values(unit, key)
        assert place.removeprefix("-") in PAGE


@pytest.mark.parametrize(("heading", "unit"), [("The control plane", "control-plane"), ("A worker", "worker")])
def test_what_the_page_says_to_type_sets_up_what_the_unit_starts(heading: str, unit: str, tmp_path: Path) -> None:
    section = PAGE.split(f"## {heading}\n")[1]
    lines = re.search(r"(?:^    .*\n)+", section, re.MULTILINE)
    assert lines is not None
    places = {
        "/etc/": f"{tmp_path}/etc/",
        "/var/lib/": f"{tmp_path}/",
        "/opt/taskrun/bin": str(Path(sys.executable).parent),
    }
    script = re.sub("|".join(places), lambda found: places[found[0]], lines[0])
    (tmp_path / "ca.crt").touch()
    typed = ["bash", "-euc", f'systemctl() {{ echo "$@"; }}\n{script}']
    done = subprocess.run(typed, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"enable --now taskrun-{unit}" in done.stdout
    variables = dict(line.split("=", 1) for line in (tmp_path / f"etc/taskrun/{unit}.env").read_text().splitlines())
    known = {row.variable for row in table(SETTINGS[f"taskrun-{unit}"])}
    assert variables.keys() <= known
    assert (tmp_path / "private/taskrun/certs/server.crt").exists() is (unit == "control-plane")
