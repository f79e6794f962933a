"""`python -m chaos [--seed S] [--kills K] [--tasks N] [--workers W] [--scale X] [ROUND ...]`.

Plays rounds, prints the seed, the counters and a verdict table. Exit code 1 on any finding, or if a round proves
nothing because a fault that was planned did not happen, or is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from random import SystemRandom

from chaos.disk import NotPossible
from chaos.oracle import Verdict
from chaos.plans import ROUNDS
from chaos.rounds import Round
from chaos.verdicts import shown, table
from taskrun.testing.arguments import amount

#: Findings of a round that are printed.
_SHOWN = 20


async def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.partition("\n")[0])
    parser.add_argument("rounds", nargs="*", metavar="ROUND", help=", ".join(ROUNDS))
    parser.add_argument("--seed", type=int, default=None, help="by default another each time")
    parser.add_argument("--kills", type=int, default=None, help="of each process that a round kills")
    parser.add_argument("--tasks", type=int, default=None, help="of each round")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--scale", type=amount, default=1.0, help="of faults and tasks, where not said otherwise")
    parser.add_argument("--keep", type=Path, default=None, help="where histories and logs stay")
    options = parser.parse_args()
    unknown = set(options.rounds) - set(ROUNDS)
    if unknown:
        parser.error(f"unknown round: {', '.join(sorted(unknown))}")
    seed = SystemRandom().randrange(1_000_000) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    verdicts: dict[str, Verdict] = {}
    left_out = False
    with tempfile.TemporaryDirectory(prefix="taskrun-chaos-") as temporary:
        for name in options.rounds or ROUNDS:
            round = ROUNDS[name].scaled(options.scale)
            if isinstance(round, Round):
                kills = {fault: options.kills for fault in round.faults if options.kills and fault.startswith("kill")}
                tasks = options.tasks or round.tasks
                round = replace(round, faults={**round.faults, **kills}, tasks=tasks, workers=options.workers)
            directory = (options.keep or Path(temporary)) / f"{name}-{seed}"
            directory.mkdir(parents=True)
            began = time.monotonic()
            try:
                verdict = verdicts[name] = await round.play(seed, directory)
            except NotPossible as error:
                print(f"\n{name}: WARNING: left out, {error}", flush=True)
                left_out = True
                continue
            print(f"\n{name}: {time.monotonic() - began:.0f} s\n{shown(verdict, _SHOWN)}", flush=True)
    print(f"\n{table(verdicts)}\nseed {seed}")
    return int(left_out or not all(verdict.good for verdict in verdicts.values()))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
