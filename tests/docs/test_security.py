"""`docs/security.md` shows the table of rights as it is, and names the test of each defence: it is there."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from taskrun.domain.rights import RIGHTS
from tests.docs.test_faults import ROOT, has_test

PAGE = (ROOT / "docs/security.md").read_text()
THREATS = PAGE.partition("## What could go wrong")[2]
ROWS = re.findall(r"^\| (?!threat|---)(.+?) \| (.+?) \| (.+) \|$", THREATS, re.MULTILINE)
NAMED = [name for *_, held in ROWS for name in re.findall(r"`([^`]+\.py[^`]*)`", held)]


@pytest.mark.parametrize("name", NAMED)
def test_the_test_of_a_defence_is_there(name: str) -> None:
    place, _, test = name.partition("::")
    assert has_test(place, test) if test else (ROOT / "tests" / place).is_file()


def test_every_threat_has_a_defence_that_is_tested() -> None:
    assert len(ROWS) == 19
    assert all("`" in held for *_, held in ROWS)


def test_the_table_of_rights_is_up_to_date() -> None:
    checked = subprocess.run([sys.executable, ROOT / "scripts/rights", "--check"], capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, b"")


def test_every_call_has_its_row() -> None:
    drawn = PAGE.partition("<!-- rights")[2].partition("<!-- /rights")[0]
    assert sorted(re.findall(r"^\| `([^`]+)` \|", drawn, re.MULTILINE)) == sorted(RIGHTS)
