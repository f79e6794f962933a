"""Log lines: for people on a terminal, one JSON object each for everything else.

A line is one line whatever is in it: a host name or an error's text may come from a stranger, so control characters are
escaped in both forms and nothing can forge a line. Values of variables never show in tracebacks.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Callable
from datetime import UTC
from functools import partial
from os import environ
from typing import TYPE_CHECKING, TextIO

from loguru import logger

from taskrun.domain.errors import InvalidArgument

if TYPE_CHECKING:
    from loguru import Message, Record

FORMATS = ("auto", "text", "json")
LEVELS = ("TRACE", "DEBUG", "INFO", "SUCCESS", "WARNING", "ERROR", "CRITICAL")

#: Control characters, line separators, what turns the reading direction, and halves of characters.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_COLOURS = {
    "TRACE": "\x1b[2m",
    "DEBUG": "\x1b[36m",
    "INFO": "\x1b[32m",
    "SUCCESS": "\x1b[1;32m",
    "WARNING": "\x1b[33m",
    "ERROR": "\x1b[31m",
    "CRITICAL": "\x1b[1;31m",
}
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


def configure(format: str = "auto", level: str = "INFO", stream: TextIO | None = None) -> None:
    """Sends every log line of the process, the libraries' included, to `stream` (standard error), from `level` on.

    "auto" is text on a terminal and JSON elsewhere; text has colours on a terminal unless NO_COLOR is set. Libraries
    speak from WARNING on, or INFO if `level` is below that. The last call counts. Raises `InvalidArgument`.
    """
    stream = stream or sys.stderr
    level = level.upper()
    if format not in FORMATS:
        raise InvalidArgument(f"There is no log format {format!r}: it is one of {', '.join(FORMATS)}.")
    if level not in LEVELS:
        raise InvalidArgument(f"There is no log level {level!r}: it is one of {', '.join(LEVELS)}.")
    # The embedding keeps the library silent; a program that sets up its log wants to hear it.
    logger.enable("taskrun")
    logger.remove()
    logger.add(_sink(stream, _layout(format, stream)), level=level, format="", backtrace=False, diagnose=False)
    _take_over_stdlib(level)


def _sink(stream: TextIO, layout: Callable[[Record], str]) -> Callable[[Message], None]:
    def write(message: Message) -> None:
        stream.write(layout(message.record) + "\n")
        stream.flush()

    return write


def _layout(format: str, stream: TextIO) -> Callable[[Record], str]:
    terminal = stream.isatty()
    if format == "json" or (format == "auto" and not terminal):
        return json_line
    return coloured_line if terminal and "NO_COLOR" not in environ else text_line


def json_line(record: Record) -> str:
    """The line as JSON. What was bound stands beside the rest, and cannot take its place."""
    fields: dict[str, object] = {
        "time": record["time"].astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record["level"].name,
        "message": record["message"],
        "logger": record["name"],
    }
    for name, value in record["extra"].items():
        fields.setdefault(name, value)
    if record["exception"] is not None:
        fields["exception"] = _traceback(record)
    try:
        return json.dumps(fields, default=str, allow_nan=False)
    except (TypeError, ValueError):
        # Not a number, keys that are no text, a value that holds itself: their text is better than no line.
        return json.dumps({name: value if isinstance(value, str) else repr(value) for name, value in fields.items()})


def text_line(record: Record) -> str:
    """The line for people, in local time: when, how grave, what, and what was bound."""
    return _line(record, "", "", "")


def coloured_line(record: Record) -> str:
    """`text_line`, for a terminal."""
    return _line(record, _COLOURS.get(record["level"].name, ""), _DIM, _PLAIN)


def _line(record: Record, colour: str, dim: str, plain: str) -> str:
    when = record["time"].strftime("%H:%M:%S.%f")[:-3]
    level = record["level"].name
    bound = "".join(f"  {name}={value}" for name, value in record["extra"].items())
    line = f"{dim}{when}{plain} {colour}{level:<8}{plain} {_escaped(record['message'])}{dim}{_escaped(bound)}{plain}"
    if record["exception"] is None:
        return line
    # The bar shows where the exception ends, also to whom its own text would tell otherwise.
    return "\n".join([line, *(f"  {colour}|{plain} {_escaped(row)}" for row in _traceback(record).split("\n"))])


def _traceback(record: Record) -> str:
    exception = record["exception"]
    assert exception is not None
    return "".join(traceback.format_exception(exception.type, exception.value, exception.traceback)).rstrip()


def _escaped(text: str) -> str:
    return _UNSAFE.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _take_over_stdlib(level: str) -> None:
    """The libraries' loggers, and warnings, speak through ours."""
    quiet = logging.WARNING if logger.level(level).no >= logging.INFO else logging.INFO
    logging.basicConfig(handlers=[InterceptHandler()], level=quiet, force=True)
    logging.captureWarnings(True)


class InterceptHandler(logging.Handler):
    """Passes what the standard library's logging brings on to loguru, under the name of its logger."""

    def emit(self, record: logging.LogRecord) -> None:
        """Never raises: a log call of a library must not end what the library does."""
        try:
            name = record.levelname if record.levelname in LEVELS else record.levelno
            logger.patch(partial(_rename, record.name)).opt(exception=record.exc_info).log(
                name, "{}", record.getMessage()
            )
        except Exception:
            self.handleError(record)


def _rename(name: str, line: Record) -> None:
    line["name"] = name
