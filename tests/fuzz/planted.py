"""Targets with a fault, each found as what it is; run as a program, for a target gets a process by a fork.

Prints the verdicts as JSON, by the fault that was planted.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable

from fuzz.drivers import Chance, Driver
from fuzz.play import play
from fuzz.target import Target
from fuzz.watch import Limits

#: Only a case that is not a seed has it.
MARK = b"\x00"
SEEDS = {"seed": b"a message"}
_KEPT: list[bytes] = []


def _raises(case: bytes) -> None:
    if MARK in case:
        raise RuntimeError("planted")


def _dies(case: bytes) -> None:
    if MARK in case:
        os.kill(os.getpid(), signal.SIGSEGV)


def _spins(case: bytes) -> None:
    while MARK in case:
        pass


def _spins_in_c(case: bytes) -> None:
    if MARK in case:
        pow(7, 10 ** (7 * 10**5))


def _waits(case: bytes) -> None:
    if MARK in case:
        time.sleep(60)


def _grows(case: bytes) -> None:
    if MARK in case:
        _KEPT.append(bytes(range(256)) * 4096 * 8)


def _is_good(case: bytes) -> None:
    case.count(MARK)


PLANTED: dict[str, Callable[[bytes], None]] = {
    "crash": _raises,
    "crash in C": _dies,
    "hang": _spins,
    "hang in C": _spins_in_c,
    "hang without work": _waits,
    "growth": _grows,
    "": _is_good,
}
#: A wait is known to be one sooner than for real.
LIMITS = Limits(busy=0.5, idle=3.0, growth_kib=32 * 1024)


def main() -> None:
    driver: Driver = Chance(1, cases=2000)
    found = {}
    for name, take in PLANTED.items():
        verdict = play(name, Target(take, SEEDS), driver, LIMITS)
        found[name] = {
            "fault": verdict.fault,
            "cases": verdict.cases,
            "marked": MARK in verdict.case,
            "story": verdict.story,
        }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
