"""What people see: tables, times, and other people's text made harmless."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import rich_click as click

#: Control characters, line separators and what turns the reading direction: a stranger's text could redraw the screen.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_UNSAFE_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

#: The colour of each status word, wherever it stands.
COLOURS = {
    "PENDING": "yellow",
    "RUNNING": "cyan",
    "COMPLETED": "green",
    "FAILED": "red",
    "CANCELLED": "magenta",
    "ASSIGNED": "yellow",
    "IDLE": "green",
    "BUSY": "cyan",
    "DRAINING": "yellow",
    "ERROR": "red",
    "VALID": "green",
    "EXPIRED": "yellow",
    "REVOKED": "red",
}

#: Characters of a column on a terminal; what is longer is folded.
_WIDEST = 60

_SIZES = ((1_000_000_000, "G"), (1_000_000, "M"), (1000, "k"))
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"))


def line(text: str) -> str:
    """The text as part of one line."""
    return _UNSAFE.sub(_escaped, text)


def lines(text: str) -> str:
    """The text, with its lines and tabs but nothing else that moves a cursor."""
    return _UNSAFE_BUT_LINES.sub(_escaped, text.replace("\r\n", "\n"))


def indented(text: str, by: int = 4) -> str:
    """The lines of a text that stands below another one; "" if it has none."""
    return "".join(f"{' ' * by}{each}\n" for each in lines(text).strip("\n").splitlines())


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def span(ms: int) -> str:
    """A length of time, in the unit that tells most: `85ms`, `2.3s`, `3m`, `5h`, `2d`."""
    if ms < 1000:
        return f"{max(0, ms)}ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f}s"
    return _whole(ms)


def amount(number: int) -> str:
    """A number of many digits, in a few: `999`, `1.2k`, `12k`, `3.4M`."""
    for size, unit in _SIZES:
        if number >= size:
            return f"{number / size:.1f}{unit}" if number < 10 * size else f"{number // size}{unit}"
    return str(number)


def clipped(text: str, length: int) -> str:
    """The text, or as much of its beginning as so many characters hold, the last of which then says that it goes on."""
    return text if len(text) <= length else f"{text[: max(0, length - 1)]}…"


def age(at_ms: int) -> str:
    """How long ago that was, by this machine's clock, in whole units; "-" if it never was."""
    return _whole(max(0, time.time_ns() // 1_000_000 - at_ms)) if at_ms else "-"


def _whole(ms: int) -> str:
    return next((f"{ms // size}{unit}" for size, unit in _UNITS if ms >= size), "0s")


def moment(at_ms: int) -> str:
    """The moment in local time, ISO 8601, and how long ago it was; "-" if it never was."""
    return f"{local_time(at_ms)} ({age(at_ms)} ago)" if at_ms else "-"


def local_time(at_ms: int) -> str:
    """The moment in local time, ISO 8601."""
    return datetime.fromtimestamp(at_ms / 1000).astimezone().isoformat(sep=" ", timespec="seconds")


def pairs(labels: Any) -> str:
    """Labels, in one cell."""
    return " ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "-"


def as_json(value: Any) -> None:
    """One JSON document, on one line when it is for a program."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None))


def as_json_line(value: Any) -> None:
    """One JSON document of several: each is a line of its own, and is out at once."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table in colour on a terminal, without columns that say nothing; elsewhere all columns, with spaces between."""
    rows = [[line(cell) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _drawn(headers, rows)
    else:
        _aligned([headers, *rows])


def note(text: str, colour: str | None = None) -> None:
    """A remark for whoever looks on; it goes to standard error, so that a pipe gets the answer alone."""
    click.secho(line(text), err=True, dim=colour is None, fg=colour)


def _aligned(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())


def _drawn(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    columns = [column for column in zip(headers, *rows, strict=True) if set(column[1:]) != {"-"}]
    for column in columns:
        drawn.add_column(column[0], max_width=_WIDEST, overflow="fold")
    for row in list(zip(*columns, strict=True))[1:]:
        drawn.add_row(*(Text(cell, COLOURS.get(cell, "")) for cell in row))
    console = Console(highlight=False)
    # A terminal that is too narrow shows its lines in two rows: better than an id in pieces.
    needed = console.measure(drawn, options=console.options.update(max_width=_WIDEST * len(headers))).maximum
    Console(highlight=False, width=max(console.width, needed)).print(drawn)
