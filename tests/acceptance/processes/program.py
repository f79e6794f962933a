"""A TaskRun program as a process of its own, followed by its log."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_BIN = Path(sys.executable).parent


class LoggedProgram:
    """Runs until it is told to end. What it logs is read all the time, so that it never waits for a reader."""

    def __init__(self, name: str, arguments: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
        self._process = subprocess.Popen(
            [str(_BIN / name), *arguments, "--log-format", "json"],
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: list[str] = []
        self._news = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, name=f"log of {name}")
        self._reader.start()

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return "".join(self._lines)

    def wait_for(self, message: str, seconds: float = 60) -> Mapping[str, Any]:
        """The first log line with this message, as soon as it is there."""
        with self._news:
            self._news.wait_for(lambda: self._find(message) or self._ended, seconds)
            line = self._find(message)
        if line is None:
            self.end(signal.SIGKILL)
            raise AssertionError(f"It never said {message!r}: {self.log}")
        return line

    def tell(self, number: signal.Signals) -> None:
        """Sends it a signal; harmless if it has ended."""
        self._process.send_signal(number)

    def has_ended(self, within: float) -> bool:
        """Whether it is over in so many seconds."""
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def end(self, number: signal.Signals, seconds: float = 30) -> int:
        """Sends it a signal that ends it, and returns its exit code."""
        self._process.send_signal(number)
        code = self._process.wait(seconds)
        self._reader.join(seconds)
        assert not self._reader.is_alive(), "It has ended, and somebody still holds its log open."
        assert self._process.stderr is not None
        self._process.stderr.close()
        return code

    def _find(self, message: str) -> Mapping[str, Any] | None:
        lines = (json.loads(line) for line in self._lines if line.startswith("{"))
        return next((line for line in lines if line["message"] == message), None)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            with self._news:
                self._lines.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def call(name: str, *arguments: str) -> str:
    """Runs a command to its end and returns what it printed."""
    done = subprocess.run([str(_BIN / name), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout
