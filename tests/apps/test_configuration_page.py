from __future__ import annotations

import re
from pathlib import Path

import pytest

from taskrun.apps import exits
from taskrun.apps.cli.connection import Connection
from taskrun.apps.cli.root import cli
from taskrun.apps.configuration import table
from taskrun.apps.program import shown
from taskrun.apps.settings import ControlPlaneSettings, WorkerSettings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def section(of: type) -> str:
    """The table of a settings class, as the page has it."""
    rows = ["| flag | variable | key | default | |", "| --- | --- | --- | --- | --- |"]
    for row in table(of):
        flag, variable = (f"`{name}`" if name else "" for name in (row.flag, row.variable))
        default = shown(row.default)
        rows.append(f"| {flag} | {variable} | `{row.key}` | {f'`{default}`' if default else ''} | {row.help} |")
    return "\n".join(rows)


@pytest.mark.parametrize(
    ("default", "text"),
    [(0.0, "0s"), (1.5, "1.5s"), (False, "off"), (True, "on"), (0, "0"), (None, ""), ("", ""), ((), ""), ({}, "")],
)
def test_a_default_is_shown_unless_it_is_empty(default: object, text: str) -> None:
    assert shown(default) == text
    assert shown(default, "; ") == (f"; {text}" if text else "")


@pytest.mark.parametrize("of", [ControlPlaneSettings, WorkerSettings])
def test_the_page_shows_every_setting_as_it_is(of: type) -> None:
    expected = f"<!-- {of.__name__} -->\n{section(of)}\n"
    assert expected in PAGE.read_text(), f"put this into {PAGE.name}:\n\n{expected}"


def test_the_page_shows_the_command_lines_defaults() -> None:
    page = PAGE.read_text()
    for default in (*Connection().addr, Connection().ca_cert, Connection().cert, Connection().key):
        assert f"`{default}`" in page


def test_the_page_and_the_help_name_every_exit_code() -> None:
    codes = sorted(code for name, code in vars(exits).items() if name.isupper() and isinstance(code, int))
    assert codes == [0, 1, 2, 3, 4, 130, 141]
    assert [int(code) for code in re.findall(r"^\| (\d+) \|", PAGE.read_text(), re.MULTILINE)] == codes
    _, told = (cli.help or "").split("Exit codes:")
    assert [int(code) for code in re.findall(r"\b\d+\b", told)] == codes
