"""The first message of a worker's stream."""

from __future__ import annotations

from dataclasses import replace

from fuzz.target import Target
from fuzz.wire import HELLO
from taskrun.adapters.grpc.codec_common import to_bytes
from taskrun.adapters.grpc.codec_runs import decode_hello, encode_hello
from taskrun.domain.errors import TaskRunError
from taskrun.domain.protocol import LiveRun


def _take(case: bytes) -> None:
    try:
        hello = decode_hello(case)
    except TaskRunError:
        return
    assert decode_hello(to_bytes(lambda good: encode_hello(good, good.claimed_id), hello)) == hello


_SEEDS = {
    "new": HELLO,
    "old": replace(HELLO, features=frozenset(), process="", stream=0, max_concurrent_runs=0),
    "returned": replace(HELLO, live_runs=(LiveRun("run-1", 7), LiveRun("run-2", 0))),
}

TARGET = Target(_take, {name: encode_hello(hello, "w-1").SerializeToString() for name, hello in _SEEDS.items()})
