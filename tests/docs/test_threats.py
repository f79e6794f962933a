"""`docs/threats.md` names for each threat a defence, and for each limit its edge: the tests are there."""

from __future__ import annotations

import re

import pytest

from tests.docs.test_faults import FOLDERS, ROOT, has_test

PAGE = (ROOT / "docs/threats.md").read_text()
#: Tables whose last column names tests.
TABLES = re.findall(r"^\| (threat|limit) \|.*\n\| --- .*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
ROWS = [[cell.strip() for cell in row.strip("|").split(" | ")] for _, rows in TABLES for row in rows.splitlines()]
NAMED = [name for *_, held in ROWS for name in re.findall(r"`([^`]+)`", held)]


def test_every_threat_and_limit_has_its_row() -> None:
    assert {kind for kind, _ in TABLES} == {"threat", "limit"}
    assert len({what for what, *_ in ROWS}) == len(ROWS) == 51
    assert all(len(row) == 3 for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[what for what, *_ in ROWS])
def test_it_is_held_by_tests_and_nothing_else(row: list[str]) -> None:
    assert all(re.fullmatch(r" *`[^`]+\.py(::\w+)?` *", name) for name in row[-1].split("<br>"))


@pytest.mark.parametrize("name", NAMED)
def test_what_holds_it_is_there(name: str) -> None:
    place, _, test = name.partition("::")
    assert has_test(place, test) if test else any((folder / place).is_file() for folder in FOLDERS)
