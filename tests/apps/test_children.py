from __future__ import annotations

import signal
import sys

import pytest

from taskrun.apps.cli import children
from taskrun.apps.cli.children import Child
from tests.apps.places import PATIENCE, environ

_DEAF = """
import faulthandler, signal, time
faulthandler.enable()
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGUSR1, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""


def test_a_program_that_does_not_end_shows_where_it_hangs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    child = Child("deaf", [sys.executable, "-c", _DEAF], environ())
    child.wait_for("up", PATIENCE)
    monkeypatch.setattr(children, "PATIENCE", 0.1)
    monkeypatch.setattr(children, "LAST_WORDS", 0.5)
    assert child.stop() == -signal.SIGABRT
    shown = capsys.readouterr().err
    assert "The deaf did not end" in shown
    assert 'File "<string>", line 7 in <module>' in shown


def test_a_program_that_ends_says_nothing_more(capsys: pytest.CaptureFixture[str]) -> None:
    child = Child("calm", [sys.executable, "-c", "print('up')"], environ())
    child.wait_for("up", PATIENCE)
    assert child.stop() in (0, -signal.SIGTERM)
    assert capsys.readouterr().err == ""
