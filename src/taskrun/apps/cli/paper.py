"""Where a story is written for people: output on standard output, remarks beside it on standard error.

Output stays as it is unless it goes to a terminal. A remark has a line of its own, and on a terminal that line can stay
open for how the thing ends that it tells of: nothing is ever drawn over.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from typing import NamedTuple, TextIO

import rich_click as click

from taskrun.apps.cli import showing

#: Characters of a remark where nobody knows how wide a line is, and of one on a terminal that is narrower.
_LINE, _LEAST = 160, 20


class Ink(NamedTuple):
    """A piece of a remark; it is dim if it has no colour."""

    text: str
    colour: str | None = None


#: The colour of what is neither dim nor coloured.
PLAIN = "reset"


class Paper:
    """Knows where in its line each of the two streams is."""

    def __init__(self) -> None:
        self._terminal = sys.stdout.isatty()
        #: Output and remarks go into one file or pipe: the output stays as it is, a remark begins a line.
        self._one_file = not self._terminal and _same_file(sys.stdout, sys.stderr)
        #: Whether somebody sees a line before it is whole.
        self._live = sys.stderr.isatty()
        self._in_output = False
        #: What the open line of a remark is about; "" if none is open.
        self._open = ""

    def output(self, text: str) -> None:
        """What the agent says."""
        if text:
            if self._terminal or self._one_file:
                self._end_remark()
            sys.stdout.write(showing.lines(text) if self._terminal else text)
            self._in_output = not text.endswith("\n")

    def remark(self, text: str, colour: str | None = None, below: str = "") -> None:
        """A line beside the output; what is `below` it stands on further lines."""
        self.remarks([Ink(text, colour)])
        click.echo(showing.indented(below), nl=False, err=True)

    def remarks(self, inks: Sequence[Ink], about: str = "") -> None:
        """A line in several inks. If it is `about` something, `add` can go on with it, on a terminal."""
        self._begin_remark()
        self._open = about if self._live else ""
        click.echo(_styled([Ink("· "), *inks]), nl=not self._open, err=True)

    def add(self, about: str, inks: Sequence[Ink], *, last: bool) -> bool:
        """Goes on with the open line that is about this, and ends it with the `last`. Whether it was still open."""
        if not about or self._open != about:
            return False
        click.echo(_styled(inks), nl=last, err=True)
        self._open = "" if last else about
        return True

    def aside(self, text: str) -> None:
        """Dim text that comes in pieces, such as a thought."""
        if self._open != _ASIDE:
            self._begin_remark()
        click.secho(showing.lines(text), nl=False, err=True, dim=True)
        self._open = "" if text.endswith("\n") else _ASIDE

    def flush(self) -> None:
        """All that was written is seen."""
        sys.stdout.flush()

    def room(self, kept: int) -> int:
        """How many characters a remark may have, if so many more are to follow on its line."""
        if not self._live:
            return _LINE
        return max(_LEAST, shutil.get_terminal_size().columns - kept - len("· "))

    def _begin_remark(self) -> None:
        self._end_remark()
        sys.stdout.flush()
        if self._in_output and self._terminal:
            sys.stdout.write("\n")
            sys.stdout.flush()
            self._in_output = False
        elif self._in_output and self._one_file:
            click.echo(err=True)
            self._in_output = False

    def _end_remark(self) -> None:
        if self._open:
            click.echo(err=True)
            self._open = ""


_ASIDE = "aside"


def _styled(inks: Sequence[Ink]) -> str:
    return "".join(_inked(showing.line(text), colour) for text, colour in inks)


def _inked(text: str, colour: str | None) -> str:
    if colour is None:
        return click.style(text, dim=True)
    return text if colour == PLAIN else click.style(text, fg=colour)


def _same_file(first: TextIO, second: TextIO) -> bool:
    try:
        return os.path.sameopenfile(first.fileno(), second.fileno())
    except (OSError, ValueError):
        return False
