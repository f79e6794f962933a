from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from taskrun.adapters.telemetry.logs import configure
from taskrun.domain.errors import InvalidArgument

pytestmark = pytest.mark.usefixtures("logging_as_it_was")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def logging_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    logger.remove()
    logger.add(sys.__stderr__ or sys.stderr)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def logged(format: str = "json", level: str = "INFO") -> io.StringIO:
    stream = io.StringIO()
    configure(format, level, stream)
    return stream


def fail(message: str) -> None:
    password = "hunter2"
    raise ValueError(message.replace("PASSWORD", str(len(password))))


def test_a_line_is_one_json_object_with_time_level_message_and_logger() -> None:
    stream = logged()
    logger.info("worker {} is here", "w-1")
    [line] = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {"level": "INFO", "message": "worker w-1 is here", "logger": __name__}


def test_what_is_bound_stands_at_the_top_level() -> None:
    stream = logged()
    logger.bind(task_id="t-1").info("on it", run_id="r-1", worker_id="w-1")
    [line] = lines(stream)
    assert (line["task_id"], line["run_id"], line["worker_id"]) == ("t-1", "r-1", "w-1")


def test_what_is_bound_cannot_take_the_place_of_the_rest() -> None:
    stream = logged()
    logger.bind(time="never", level="NONE", message="forged", logger="forged").info("true")
    [line] = lines(stream)
    assert (line["level"], line["message"], line["logger"]) == ("INFO", "true", __name__)


@pytest.mark.parametrize(
    "value", [float("nan"), {1, 2}, b"\xff", {("a",): 1}, Ellipsis, "\ud800", {"deep": float("inf")}, object]
)
def test_what_is_no_json_is_logged_as_text(value: object) -> None:
    stream = logged()
    logger.bind(value=value).info("there")
    [line] = lines(stream)
    assert line["message"] == "there"
    assert isinstance(line["value"], str)


def test_a_value_that_holds_itself_is_logged_as_text() -> None:
    stream = logged()
    ring: list[object] = []
    ring.append(ring)
    logger.bind(ring=ring).info("round")
    assert lines(stream)[0]["ring"] == "[[...]]"


def test_an_exception_is_one_escaped_text() -> None:
    stream = logged()
    try:
        fail("broken\nin two")
    except ValueError:
        logger.exception("it failed")
    [line] = lines(stream)
    assert line["message"] == "it failed"
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: broken\nin two")


@pytest.mark.parametrize("format", ["json", "text"])
def test_a_traceback_shows_no_values(format: str) -> None:
    stream = logged(format)
    try:
        fail("PASSWORD")
    except ValueError:
        logger.exception("it failed")
    # loguru would by default print what the variables held, beside the line that raised.
    assert "hunter2" not in stream.getvalue()


@pytest.mark.parametrize("bad", ["\n", "\r", "\x1b[31m", "\x00", "\x7f", "\x9b", "\u2028", "\u202e", "\ud800"])
@pytest.mark.parametrize("format", ["json", "text"])
def test_nothing_that_is_logged_can_forge_or_colour_a_line(format: str, bad: str) -> None:
    stream = logged(format)
    logger.bind(worker_id=f"w{bad}1").info("host {}", f"a{bad}b")
    text = stream.getvalue()
    assert text.count("\n") == 1
    assert bad[0] not in text.removesuffix("\n")
    text.encode()


def test_in_text_a_forged_line_in_an_exception_stays_behind_its_bar() -> None:
    stream = logged("text")
    try:
        fail("x\n12:00:00.000 INFO     all is well\x1b[0m")
    except ValueError:
        logger.exception("it failed")
    first, *rest = stream.getvalue().splitlines()
    assert "it failed" in first
    assert all(line.startswith("  | ") for line in rest)
    assert "\x1b" not in stream.getvalue()


def test_text_tells_when_how_grave_what_and_about_whom() -> None:
    stream = logged("text")
    logger.bind(worker_id="w-1").warning("late")
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} WARNING  late  worker_id=w-1\n", stream.getvalue())


@pytest.mark.parametrize("format", ["auto", "text"])
def test_on_a_terminal_text_has_colours(format: str) -> None:
    stream = Terminal()
    configure(format, "INFO", stream)
    logger.info("hello")
    assert "\x1b[32mINFO" in stream.getvalue()


def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    configure("auto", "INFO", stream)
    logger.info("hello")
    assert "\x1b" not in stream.getvalue()


def test_off_a_terminal_auto_is_json() -> None:
    stream = logged("auto")
    logger.info("hello")
    assert lines(stream)[0]["message"] == "hello"


def test_below_the_level_nothing_is_logged() -> None:
    stream = logged(level="warning")
    logger.info("no")
    logger.warning("yes")
    assert [line["message"] for line in lines(stream)] == ["yes"]


def test_the_last_call_counts() -> None:
    first, second = logged(), logged()
    logger.info("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


@pytest.mark.parametrize(("format", "level"), [("xml", "INFO"), ("json", "LOUD"), ("json", "")])
def test_an_unknown_format_or_level_is_refused(format: str, level: str) -> None:
    with pytest.raises(InvalidArgument, match="it is one of"):
        configure(format, level, io.StringIO())


def test_what_libraries_log_comes_the_same_way_under_their_names() -> None:
    stream = logged()
    logging.getLogger("uvicorn.error").error("%s and {braces} <tags>", "arguments")
    [line] = lines(stream)
    assert (line["level"], line["logger"]) == ("ERROR", "uvicorn.error")
    assert line["message"] == "arguments and {braces} <tags>"


def test_an_exception_of_a_library_comes_with_it() -> None:
    stream = logged()
    try:
        fail("inside")
    except ValueError:
        logging.getLogger("grpc").exception("oh")
    assert lines(stream)[0]["exception"].endswith("ValueError: inside")


def test_a_library_with_a_level_of_its_own_is_heard() -> None:
    stream = logged()
    logging.getLogger("some").log(35, "between")
    assert lines(stream)[0]["message"] == "between"


def test_libraries_are_heard_from_warning_on() -> None:
    stream = logged()
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("asyncio").warning("slow")
    assert [line["message"] for line in lines(stream)] == ["slow"]


def test_at_debug_libraries_are_heard_from_info_on() -> None:
    stream = logged(level="DEBUG")
    logging.getLogger("uvicorn.error").info("Started server process")
    logging.getLogger("asyncio").debug("Using selector")
    assert [line["message"] for line in lines(stream)] == ["Started server process"]


def test_a_broken_log_call_of_a_library_does_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    stream = logged()
    logging.getLogger("some").warning("%d", "no number")
    logging.getLogger("some").warning("on")
    assert [line["message"] for line in lines(stream)] == ["on"]


def test_a_warning_of_python_is_a_log_line_too() -> None:
    stream = logged()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(False)
    assert "DeprecationWarning: old" in lines(stream)[0]["message"]


async def test_an_exception_that_nobody_took_from_a_callback_is_logged() -> None:
    stream = logged()
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    loop.call_soon(fail, "in a callback")
    loop.call_soon(over.set)
    await over.wait()
    assert lines(stream)[0]["exception"].endswith("ValueError: in a callback")
