"""Where the demo plays: its audience, and the commands that it types."""

from __future__ import annotations

import json
import os
import selectors
import shlex
import subprocess
import sys
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich_click as click

from taskrun.apps.cli import showing
from taskrun.apps.cli.children import CLI, CONTROL_PLANE, WORKER
from taskrun.domain.errors import TaskRunError

#: Seconds that a command may be silent for.
PATIENCE = 45.0


#: Takes each JSON line of the story.
Report = Callable[[dict[str, Any]], None]


@contextmanager
def audience(program: bool) -> Iterator[Report]:
    """Who looks on. People have standard output; a program gets its JSON lines there, and people standard error."""
    if not program:
        yield lambda line: None
        return
    output = sys.stdout

    def report(line: dict[str, Any]) -> None:
        output.write(json.dumps(line, ensure_ascii=False) + "\n")
        output.flush()

    with redirect_stdout(sys.stderr):
        yield report


class DemoFailed(TaskRunError):
    """Something that the demo promises did not happen."""


def check(happened: object, sentence: str) -> None:
    """Says that something happened, or raises `DemoFailed`."""
    if not happened:
        raise DemoFailed(f"This did not happen: {sentence}.")
    click.echo(f"  {click.style('✓', fg='green')} {sentence}")


def title(number: int, text: str) -> None:
    """The beginning of a step."""
    click.secho(f"\n{number}  {text}", bold=True)


@dataclass(frozen=True, slots=True)
class Performed:
    """A command that has run, and what it put out."""

    exit_code: int
    output: str


class Quoted:
    """Shows what a command says, as it says it, with a bar at the left."""

    def __init__(self) -> None:
        self._in_line = False
        self._dim = False

    def show(self, text: str, dim: bool) -> None:
        """Shows this at once; what is `dim` and what is not do not share a line."""
        if not text:
            return
        if self._in_line and dim != self._dim:
            self._write("\n")
            self._in_line = False
        self._dim = dim
        for part in text.splitlines(keepends=True):
            start = "" if self._in_line else click.style("  │ ", fg="blue")
            body = part.rstrip("\n")
            self._write(start + click.style(showing.line(body), dim=dim) + ("\n" if part.endswith("\n") else ""))
            self._in_line = not part.endswith("\n")

    def end(self) -> None:
        """The command has ended: so does the line."""
        if self._in_line:
            self._write("\n")

    def _write(self, text: str) -> None:
        click.echo(text, nl=False)
        sys.stdout.flush()


def quote(text: str) -> None:
    """Shows what something said, all of it at once."""
    quoted = Quoted()
    quoted.show(text, dim=False)
    quoted.end()


def prompt(text: str) -> None:
    """Shows what a person would type."""
    click.echo(f"  {click.style('$', dim=True)} {click.style(text, fg='cyan')}")


#: What each program is called where it is installed.
_NAMES = {CLI: "taskrun", CONTROL_PLANE[:3]: "taskrun-control-plane", WORKER[:3]: "taskrun-worker"}


def typed(argv: Sequence[str]) -> str:
    """What a person would type for this program of ours, word for word."""
    return shlex.join([_NAMES[argv[0], argv[1], argv[2]], *argv[3:]])


def perform(
    *words: str,
    environ: Mapping[str, str],
    cwd: Path,
    watch: Callable[[str], None] | None = None,
    shows: str = "",
) -> Performed:
    """Runs `taskrun` with these words and returns its output.

    `shows` says what of it is shown: "command", or "all" for what it says too. `watch` is called with each piece of
    what it says, as it comes, on either stream.
    """
    argv = [*CLI, *words]
    if shows:
        prompt(typed(argv))
    process = subprocess.Popen(
        argv, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    quoted, output = Quoted(), list[str]()

    def hear(text: str, is_output: bool) -> None:
        if is_output:
            output.append(text)
        if shows == "all":
            quoted.show(text, dim=not is_output)
        if watch:
            watch(text)

    with process:
        try:
            _listen(process, hear)
            code = process.wait(PATIENCE)
        except BaseException:
            process.kill()
            raise
    quoted.end()
    return Performed(code, "".join(output))


def _listen(process: subprocess.Popen[bytes], hear: Callable[[str, bool], None]) -> None:
    """Calls `hear` with what the process says on each of its two streams, as it comes, until it has closed both."""
    with selectors.DefaultSelector() as selector:
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            selector.register(stream, selectors.EVENT_READ, getincrementaldecoder("utf-8")(errors="replace"))
        while selector.get_map():
            events = selector.select(PATIENCE)
            if not events:
                raise DemoFailed("A command said nothing for a long time.")
            for key, _ in events:
                data = os.read(key.fd, 65_536)
                if not data:
                    selector.unregister(key.fileobj)
                hear(key.data.decode(data), key.fileobj is process.stdout)
