"""What strangers can make the control plane write into its log, and how often."""

from __future__ import annotations

import asyncio
import logging

import pytest

from taskrun.adapters.http.seldom import PAUSE, Seldom
from taskrun.adapters.http.server import HttpServer
from tests.adapters.http.test_server import ask, hello


class Scene:
    def __init__(self) -> None:
        self.mono = 7.0
        self.filter = Seldom(lambda: self.mono)

    def said(self, words: str, *given: object, level: int = logging.WARNING) -> str | None:
        record = logging.LogRecord("x", level, "", 0, words, given, None)
        return record.getMessage() if self.filter.filter(record) else None


def test_a_warning_is_said_once_a_minute_and_then_how_often_it_was_not() -> None:
    scene = Scene()
    assert scene.said("Bad.") == "Bad."
    assert [scene.said("Bad.") for _ in range(3)] == [None] * 3
    scene.mono += PAUSE
    assert scene.said("Bad.") == "Bad. (3 more since this was last said.)"
    assert scene.said("Bad.") is None
    scene.mono += 2 * PAUSE
    assert scene.said("Bad.") == "Bad. (1 more since this was last said.)"
    scene.mono += PAUSE
    assert scene.said("Bad.") == "Bad."


def test_each_kind_of_warning_is_counted_by_itself_whatever_is_put_into_it() -> None:
    scene = Scene()
    assert scene.said("Bad: %s.", "a") == "Bad: a."
    assert scene.said("Bad: %s.", "b") is None
    assert scene.said("Worse.") == "Worse."


@pytest.mark.parametrize("level", [logging.ERROR, logging.INFO])
def test_what_is_no_warning_is_always_said(level: int) -> None:
    scene = Scene()
    assert [scene.said("Bad.", level=level) for _ in range(2)] == ["Bad."] * 2


async def test_of_many_requests_that_are_none_one_line_is_written(caplog: pytest.LogCaptureFixture) -> None:
    server = HttpServer(hello, "127.0.0.1", 0)
    port = await server.start()
    for _ in range(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\0\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 400 ")
        writer.close()
    assert await ask(f"http://127.0.0.1:{port}") == "hello"
    await server.stop()
    warnings = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert warnings == ["Invalid HTTP request received."]
