"""`docs/security.md` names the test of each defence: it is there."""

from __future__ import annotations

import re

import pytest

from tests.docs.test_faults import ROOT, has_test

PAGE = (ROOT / "docs/security.md").read_text()
ROWS = re.findall(r"^\| (?!threat|---)(.+?) \| (.+?) \| (.+) \|$", PAGE, re.MULTILINE)
NAMED = [name for *_, held in ROWS for name in re.findall(r"`([^`]+\.py[^`]*)`", held)]


@pytest.mark.parametrize("name", NAMED)
def test_the_test_of_a_defence_is_there(name: str) -> None:
    place, _, test = name.partition("::")
    assert has_test(place, test) if test else (ROOT / "tests" / place).is_file()


def test_every_threat_has_a_defence_that_is_tested() -> None:
    assert len(ROWS) == 9
    assert all("`" in held for *_, held in ROWS)
