"""`docs/promises.md` names what holds each promise: it is there."""

from __future__ import annotations

import re

import pytest

from tests.docs.test_faults import ROOT, has_scenario, has_test

#: The first table of the page.
PROMISES = (ROOT / "docs/promises.md").read_text().split("\n## ")[0]
ROWS = re.findall(r"^\| (?!promise|---)(.+?) \| (.+) \|$", PROMISES, re.MULTILINE)
NAMED = [name for _, held in ROWS for name in re.findall(r"`([^`]+\.(?:py|feature)[^`]*)`", held)]


@pytest.mark.parametrize("name", NAMED)
def test_what_holds_a_promise_is_there(name: str) -> None:
    place, _, scenario = name.partition(": ")
    if scenario:
        assert has_scenario(place, scenario)
        return
    place, _, test = name.partition("::")
    assert has_test(place, test) if test else (ROOT / "tests" / place).is_file()


def test_every_promise_is_held() -> None:
    assert len(ROWS) == 25
    assert all("`" in held for _, held in ROWS)
