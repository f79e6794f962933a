from __future__ import annotations

import subprocess
import sys

import pytest

from taskrun.testing.arguments import amount


@pytest.mark.parametrize(("text", "value"), [("0", 0.0), ("1.5", 1.5), ("1e3", 1000.0)])
def test_an_amount_is_a_number(text: str, value: float) -> None:
    assert amount(text) == value


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "1e999", "-1", "soon", ""])
def test_what_has_no_end_or_is_no_number_is_no_amount(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # argparse has the words
        amount(text)


@pytest.mark.parametrize("words", ["taskrun.testing.scripted_model --delay", "chaos --scale", "fuzz --seconds"])
def test_a_command_line_refuses_what_has_no_end(words: str) -> None:
    ended = subprocess.run([sys.executable, "-m", *words.split(), "1e999"], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "invalid amount value: '1e999'" in ended.stderr
