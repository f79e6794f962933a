from __future__ import annotations

from pathlib import Path

from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.environment import of_run, passed


def test_only_what_is_listed_passes() -> None:
    environ = {"PATH": "/bin", "LC_ALL": "C", "TZ": "UTC", "AWS_SECRET": "s", "HOME": "/root", "EDITOR": "ed"}
    assert passed(environ, ["EDITOR"]) == {"PATH": "/bin", "LC_ALL": "C", "TZ": "UTC", "EDITOR": "ed"}


def test_a_pattern_passes_what_it_matches() -> None:
    assert passed({"AWS_REGION": "eu", "AWSOME": "no"}, ["AWS_*"]) == {"AWS_REGION": "eu"}


def test_no_list_lets_the_workers_own_settings_pass() -> None:
    assert passed({"TASKRUN_KEY": "secret", "TASKRUN_RUN_ID": "other"}, ["*", "TASKRUN_KEY"]) == {}


def test_a_run_has_a_home_of_its_own() -> None:
    directory = RunDirectory(Path("/runs/run-1"))
    assert of_run("r1", "t1", directory) == {
        "HOME": "/runs/run-1/home",
        "TMPDIR": "/runs/run-1/tmp",
        "TASKRUN_RUN_ID": "r1",
        "TASKRUN_TASK_ID": "t1",
    }


def test_a_runs_directory_is_for_nobody_else(tmp_path: Path) -> None:
    one, two = RunDirectory.make(tmp_path / "runs"), RunDirectory.make(tmp_path / "runs")
    assert one.root != two.root
    for place in (tmp_path / "runs", one.root, one.home, one.temporary, one.work):
        assert place.stat().st_mode & 0o777 == 0o700


def test_a_deleted_directory_can_be_deleted_again(tmp_path: Path) -> None:
    directory = RunDirectory.make(tmp_path)
    directory.delete()
    directory.delete()
    assert list(tmp_path.iterdir()) == []
