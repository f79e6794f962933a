from __future__ import annotations

import time

import pytest

from taskrun.apps.cli import showing


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (-5, "0ms"),
        (0, "0ms"),
        (999, "999ms"),
        (2_345, "2.3s"),
        (59_900, "59.9s"),
        (60_000, "1m"),
        (3_600_000, "1h"),
        (200_000_000, "2d"),
    ],
)
def test_a_span_is_told_in_the_unit_that_tells_most(ms: int, text: str) -> None:
    assert showing.span(ms) == text


def test_an_age_is_in_whole_units() -> None:
    now = time.time_ns() // 1_000_000
    assert showing.age(0) == "-"
    assert showing.age(now + 5_000) == "0s"
    assert showing.age(now - 90_000) == "1m"


def test_a_moment_has_a_time_zone() -> None:
    assert showing.moment(0) == "-"
    assert showing.moment(1_000).startswith("19")
    assert showing.moment(1_000).endswith("d ago)")


def test_a_table_in_a_pipe_has_aligned_columns(capsys: pytest.CaptureFixture[str]) -> None:
    showing.table(("ID", "STATUS"), [("a", "RUNNING"), ("bcd", "-")])
    assert capsys.readouterr().out == "ID   STATUS\na    RUNNING\nbcd  -\n"


def test_a_table_on_a_terminal_is_drawn_without_columns_that_say_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    showing.table(("ID", "STATUS", "LABELS"), [("01a20a73-0944-769c-8d88-87602bcfeb50", "RUNNING", "-")])
    out = capsys.readouterr().out
    # Whole, though the terminal is narrow: an id in pieces cannot be copied.
    assert "01a20a73-0944-769c-8d88-87602bcfeb50" in out
    assert "LABELS" not in out


def test_an_empty_table_on_a_terminal_is_its_header(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    showing.table(("ID", "STATUS"), [])
    assert "STATUS" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1_000, "1.0k"), (1_234, "1.2k"), (12_345, "12k"), (3_400_000, "3.4M"), (10**11, "100G")],
)
def test_an_amount_is_told_in_a_few_digits(number: int, text: str) -> None:
    assert showing.amount(number) == text


def test_a_text_that_is_too_long_says_so() -> None:
    assert [showing.clipped("hello", length) for length in (5, 4, 1, 0)] == ["hello", "hel…", "…", "…"]
