"""Control characters in every text that a worker can send, against the log: none can forge, colour or end a line."""

from __future__ import annotations

import io
import json
import logging
import sys
import unicodedata
from collections.abc import Iterator

import pytest
from loguru import logger

from taskrun.adapters.grpc.codec_runs import decode_from_worker, decode_hello
from taskrun.adapters.telemetry.logs import configure
from taskrun.domain.errors import TaskRunError
from taskrun.domain.records import TaskSpec
from taskrun.domain.status import RunStatus
from taskrun.testing.harness import Harness
from taskrun.v1 import run_service_pb2 as pb
from tests.adapters.grpc.test_impersonation import PAYLOADS
from tests.engine.peers import Peer
from tests.filled import filled

#: A new line with a false entry, a colour, what hides and what turns text around.
WORDS = 'a\n{"level": "INFO"}\r\x1b[31m\x00\x07\x9b\u2028\u202e'


@pytest.fixture(params=["json", "text"])
def log(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure(request.param, "DEBUG", stream)
    yield stream
    logging.captureWarnings(False)
    root.handlers[:], root.level = handlers, level
    logger.remove()
    logger.add(sys.__stderr__ or sys.stderr)


def hostile(payload: str, run_id: str = WORDS) -> pb.RunClientMessage:
    message = pb.RunClientMessage()
    part = getattr(message, payload)
    part.CopyFrom(filled(type(part), lambda name: run_id if name == "run_id" else WORDS))
    return message


def check(log: io.StringIO) -> None:
    lines = log.getvalue().splitlines(keepends=True)
    assert lines
    for line in lines:
        assert line.endswith("\n")
        hidden = [letter for letter in line[:-1] if unicodedata.category(letter) in {"Cc", "Cf", "Zl", "Zp"}]
        assert not hidden, line
        if line.startswith("{"):
            json.loads(line)
    assert not [line for line in lines if line.startswith('{"level": "INFO"}')]


@pytest.mark.parametrize("payload", [name for name in PAYLOADS if name not in {"hello", "batch"}])
async def test_what_a_worker_says_of_its_run_stays_within_its_line(log: io.StringIO, payload: str) -> None:
    async with Harness() as harness:
        peer = Peer(harness.engine)
        await peer.connect("w-1")
        await harness.engine.create([TaskSpec("echo", "1")], "me")
        await harness.settle()
        [run] = peer.runs
        await peer.end(run.run_id, RunStatus.RUNNING)
        for run_id in (run.run_id, WORDS):
            for message in (hostile(payload, run_id), failed(payload, run_id)):
                try:
                    await peer.say(*decode_from_worker(message.SerializeToString()))
                except TaskRunError as error:
                    logger.warning("ended the stream: {}", error.message, worker_id="w-1")
            await harness.settle()
    check(log)


def failed(payload: str, run_id: str) -> pb.RunClientMessage:
    """The same, as the end of a run: a report is otherwise of a status that no worker tells."""
    message = hostile(payload, run_id)
    if payload == "status_update":
        message.status_update.status = 5  # type: ignore[assignment]
    return message


async def test_a_hello_that_is_refused_is_told_of_within_a_line(log: io.StringIO) -> None:
    for strip in (False, True):
        message = hostile("hello")
        if strip:
            message.hello.info.ClearField("agents")
        with pytest.raises(TaskRunError) as raised:
            decode_hello(message.SerializeToString())
        logger.warning("ended the stream: {}", raised.value.message, worker_id="w-1")
    check(log)
