"""What watches the targets finds what they are watched for."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.fuzz.planted import PLANTED
from tests.fuzz.test_short_form import ROOT

#: Of each, what is in its story: where it happened.
STORIES = {
    "crash": "RuntimeError: planted",
    "crash in C": "_dies",
    "hang": "_spins",
    "hang in C": "_spins_in_c",
    "hang without work": "_waits",
    "growth": "",
}


@pytest.fixture(scope="module")
def found() -> dict[str, dict[str, Any]]:
    done = subprocess.run([sys.executable, "-m", "tests.fuzz.planted"], cwd=ROOT, capture_output=True, check=True)
    verdicts: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return verdicts


@pytest.mark.parametrize("planted", [name for name in PLANTED if name])
def test_a_planted_fault_is_found_as_what_it_is_with_its_case_and_its_place(
    found: dict[str, dict[str, Any]], planted: str
) -> None:
    verdict = found[planted]
    assert verdict["fault"] == planted.partition(" ")[0]
    assert verdict["marked"]
    assert STORIES[planted] in verdict["story"]


def test_who_is_good_takes_all_cases(found: dict[str, dict[str, Any]]) -> None:
    assert (found[""]["fault"], found[""]["cases"]) == ("", 2001)
