from __future__ import annotations

from pathlib import Path

import pytest

from taskrun.apps.variables import warn_of_unknown
from tests.apps.conftest import Program


@pytest.mark.parametrize(
    ("name", "guess"),
    [
        ("TASKRUN_LABLES", "TASKRUN_LABELS"),
        ("TASKRUN_HTTP_ADR", "TASKRUN_HTTP_ADDR"),
        ("TASKRUN_JSN", "TASKRUN_JSON"),
        ("TASKRUN_WORKER_CONFG", "TASKRUN_WORKER_CONFIG"),
    ],
)
def test_a_misspelt_variable_is_named_with_a_guess(capsys: pytest.CaptureFixture[str], name: str, guess: str) -> None:
    warn_of_unknown("taskrun", [name])
    expected = f"taskrun: nothing reads the variable '{name}'. Is '{guess}' meant?\n"
    assert capsys.readouterr() == ("", expected)


def test_what_some_part_reads_or_is_not_ours_is_passed_over(capsys: pytest.CaptureFixture[str]) -> None:
    ours = ["STORE", "LABELS", "WORKER_CERT", "CERT", "TRACEBACK", "RUN_ID", "TASK_ID", "CONTROL_PLANE_CONFIG"]
    warn_of_unknown("taskrun", ["PATH", "_TASKRUN_COMPLETE", *(f"TASKRUN_{name}" for name in ours)])
    assert capsys.readouterr() == ("", "")


def test_a_program_warns_and_goes_on(certs: Path, worker: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKRUN_LABLES", "gpu=yes")
    result = worker("--check", f"--certs-dir={certs}")
    assert (result.code, result.out) == (0, "The configuration is valid.\n")
    assert result.err.startswith("taskrun-worker: nothing reads the variable 'TASKRUN_LABLES'.")
