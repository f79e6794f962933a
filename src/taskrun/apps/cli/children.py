"""The programs that `dev` and `demo` start: each a process of its own, with its log read."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import rich_click as click

from taskrun.apps.process import ENDS, ctrl_c_waits, ends_raise
from taskrun.domain.errors import TaskRunError

CONTROL_PLANE = (sys.executable, "-m", "taskrun.apps.control_plane", "--log-format", "json")
WORKER = (sys.executable, "-m", "taskrun.apps.worker", "--log-format", "json")
#: The command line, by this interpreter.
CLI = (sys.executable, "-m", "taskrun.apps.cli")
SCRIPTED_MODEL = (sys.executable, "-m", "taskrun.testing.scripted_model")

#: Seconds from a first to a second SIGTERM, which a worker with runs takes as an order to stop them.
DRAIN = 1.0
#: Seconds from SIGTERM to SIGUSR1, which a program of ours answers with what its tasks wait for; and from that to
#: SIGABRT, which it answers with its stacks; and from that to SIGKILL.
PATIENCE = 15.0
LAST_WORDS = 2.0
#: Seconds in which a program must be up.
START = 30.0

Line = Mapping[str, Any]


class ChildFailed(TaskRunError):
    """A program that was started did not come up, or does not end."""


class Child:
    """A process in a session of its own: a Ctrl-C on the terminal reaches its parent only, who stops it in good order.

    A context manager: the process is gone when it ends. A line of its output that is a JSON object is told as that, any
    other as `{"message": line}`.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environ: Mapping[str, str],
        tell: Callable[[str, Line], None] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self._tell = tell
        self._lines: list[Line] = []
        self._news = threading.Condition()
        self._ended = False
        self._process = subprocess.Popen(
            argv,
            env=environ,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"log of {name}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def wait_for(self, message: str, timeout: float = START) -> Line:
        """Its first log line with this message, or any if that is "". Raises `ChildFailed` if there will be none."""
        with self._news:
            self._news.wait_for(lambda: self._ended or self._find(message) is not None, timeout)
            line = self._find(message)
        if line is None:
            # What was told already is not said again.
            why = "." if self._tell and self._lines else f": {self._last() or 'it said nothing'}"
            raise ChildFailed(f"The {self.name} is not up{why}")
        return line

    def wait_for_end(self, timeout: float) -> str:
        """Its last line, once it has ended by itself. Raises `ChildFailed` if it does not."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ChildFailed(f"The {self.name} does not end.") from None
        self._reader.join(PATIENCE)
        return self._last()

    def said(self) -> str:
        """All messages so far, a line each."""
        with self._news:
            return "\n".join(str(line.get("message")) for line in self._lines)

    def stop(self) -> int:
        """SIGTERM, with time to end in good order, then SIGKILL; returns the exit code. Doing it twice is harmless.

        One that has to be killed shows where it hangs.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        hangs = not self._ends(PATIENCE)
        if hangs:
            for ask in (signal.SIGUSR1, signal.SIGABRT, signal.SIGKILL):
                self._process.send_signal(ask)
                if self._ends(LAST_WORDS):
                    break
        code = self._process.wait()
        self._reader.join(PATIENCE)
        if hangs:
            click.echo(f"The {self.name} did not end:\n{self.said()}", err=True)
        return code

    def end(self) -> int:
        """As `stop`, but a worker does not wait for its runs: it stops them, because it is told twice."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._ends(DRAIN)
        return self.stop()

    def _ends(self, within: float) -> bool:
        try:
            self._process.wait(within)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _last(self) -> str:
        return str(self._lines[-1].get("message")) if self._lines else ""

    def _find(self, message: str) -> Line | None:
        return next((line for line in self._lines if not message or line.get("message") == message), None)

    def _read(self) -> None:
        # Signals are for the main thread: one that came here would not wake it up.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDS)
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for raw in output:
                line = _parsed(raw.decode(errors="replace").rstrip("\n"))
                # Told first: whoever waits for a line speaks after it.
                if self._tell:
                    self._tell(self.name, line)
                with self._news:
                    self._lines.append(line)
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()


def _parsed(text: str) -> Line:
    try:
        line = json.loads(text)
    except ValueError:
        line = None
    return line if isinstance(line, dict) else {"message": text}


class Children:
    """The programs of one command. Made by `children`."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(
        self,
        name: str,
        argv: Sequence[str],
        environ: Mapping[str, str],
        tell: Callable[[str, Line], None] | None = None,
        cwd: Path | None = None,
    ) -> Child:
        """One more, which is gone at the end, whenever that comes."""
        with ctrl_c_waits():
            return self._stack.enter_context(Child(name, argv, environ, tell, cwd))

    def directory(self, prefix: str) -> Path:
        """A temporary directory that is gone when all of them are."""
        with ctrl_c_waits():
            path = tempfile.mkdtemp(prefix=prefix)
            self._stack.callback(shutil.rmtree, path, ignore_errors=True)
        return Path(path)


@contextmanager
def children() -> Iterator[Children]:
    """Within the block SIGTERM and a terminal's end are as Ctrl-C; after it, nothing that it has begun is left.

    While it is cleared away no further signal is heard: each program ends within `PATIENCE`, or is killed.
    """
    with ExitStack() as stack, ends_raise():
        yield Children(stack)


def plain_environ() -> dict[str, str]:
    """This process's environment without any setting of TaskRun's: those are up to whoever starts a child."""
    return {key: value for key, value in os.environ.items() if not key.startswith("TASKRUN_")}


def own_name() -> str:
    """What to type for this program: `taskrun` where that is found, otherwise where it is."""
    return "taskrun" if shutil.which("taskrun") else shlex.quote(str(Path(sys.argv[0]).absolute()))


def provider_is_set() -> bool:
    """Whether Claude Code can reach a real model."""
    return bool(os.environ.get("ANTHROPIC_API_KEY"))


def model_environ(model_url: str) -> dict[str, str]:
    """What turns a Claude Code CLI to a scripted model."""
    return {"ANTHROPIC_BASE_URL": model_url, "ANTHROPIC_API_KEY": "scripted"}
