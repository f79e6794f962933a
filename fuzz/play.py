"""One target, in a process of its own: whatever becomes of that, what it died of is told."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from typing import IO, NoReturn

from fuzz.drivers import Driver
from fuzz.slate import Slate
from fuzz.target import Target
from fuzz.watch import CRASHED, GREW, Limits, Watch

_FAULTS = {
    0: "",
    CRASHED: "crash",
    GREW: "growth",
    -signal.SIGPROF: "hang",
    -signal.SIGALRM: "hang",
}
#: Characters of what a process said last.
_STORY = 20_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a target."""

    name: str
    #: "" is none; else `crash`, `hang` or `growth`.
    fault: str
    cases: int
    growth_kib: int
    #: The case that did it; without a fault, the last one.
    case: bytes
    #: What the process said: the stack, if there is a fault.
    story: str


def play(name: str, target: Target, driver: Driver, limits: Limits = Limits()) -> Verdict:  # noqa: B008  # frozen
    """Forks, so call it where no other thread runs. The seeds are taken first, one after the other."""
    slate = Slate(max(target.max_bytes, *map(len, target.seeds.values())))
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        sys.stdout.flush()
        child = os.fork()
        if not child:
            _in_the_child(target, driver, Watch(target.take, slate, limits), said)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        said.seek(0)
        story = said.read()[-_STORY:]
    return Verdict(name, _FAULTS.get(code, "crash"), slate.cases, slate.growth_kib, slate.case, story)


def _in_the_child(target: Target, driver: Driver, watch: Watch, said: IO[str]) -> NoReturn:
    os.dup2(said.fileno(), sys.stderr.fileno())
    try:
        watch.begin()
        for seed in target.seeds.values():
            watch.one(seed)
        watch.settle()
        driver.drive(target, watch)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(CRASHED)
    os._exit(0)


def told(verdict: Verdict) -> str:
    """The verdict in a line."""
    how = verdict.fault or "good"
    return f"{verdict.name:22}{how:8}{verdict.cases:>10} cases {verdict.growth_kib / 1024:8.1f} MiB"


def again(name: str, path: os.PathLike[str]) -> str:
    """What has the target take the case once more."""
    return f'make fuzz ARGS="--case {shlex.quote(os.fspath(path))} {name}"'
