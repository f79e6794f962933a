"""`docs/faults.md` is an index: what it names is there, and every fault is held by something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = re.findall(r"^\| (?!what goes wrong|---)(.+?) \| (.+) \|$", (ROOT / "docs/faults.md").read_text(), re.MULTILINE)
NAMED = [name for _, held in ROWS for name in re.findall(r"`([^`]+)`", held)]
#: Where the paths of tests begin.
FOLDERS = (ROOT / "tests", ROOT / "src/taskrun")
LATER = re.compile(r"comes with renewal\.$")


def test_every_fault_has_its_row() -> None:
    assert len({fault for fault, _ in ROWS}) == len(ROWS) == 42


@pytest.mark.parametrize(("fault", "held"), ROWS, ids=[fault for fault, _ in ROWS])
def test_every_fault_is_held_by_a_test(fault: str, held: str) -> None:
    *names, last = held.split("<br>")
    assert last.startswith("`") or LATER.search(last)
    assert names or last.startswith("`")


@pytest.mark.parametrize("name", NAMED)
def test_what_holds_a_fault_is_there(name: str) -> None:
    place, _, scenario = name.partition(": ")
    assert has_scenario(place, scenario) if scenario else has_test(*name.split("::"))


def has_scenario(place: str, scenario: str) -> bool:
    line = re.compile(rf"^ *Scenario(?: Outline)?: {re.escape(scenario)}$", re.MULTILINE)
    return bool(line.search((ROOT / place).read_text()))


def has_test(place: str, name: str) -> bool:
    texts = [path.read_text() for folder in FOLDERS if (path := folder / place).is_file()]
    return any(re.search(rf"^ *(?:async )?def {name}\(", text, re.MULTILINE) for text in texts)
