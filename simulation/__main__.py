"""`python -m simulation [--seeds N] [--first F] | --seed S`.

Plays N seeds and prints those that fail; or one, and prints its whole story. Exit code 1 if any fails.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback

from simulation.campaign import Outcome, campaign
from simulation.story import line
from simulation.world import World

#: Failing seeds after which it stops.
_ENOUGH = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=2000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, default=None, help="this one alone, step by step")
    options = parser.parse_args()
    return search(options.first, options.seeds) if options.seed is None else replay(options.seed)


def replay(seed: int) -> int:
    """One world, line by line."""
    try:
        World(seed, lambda *facts: print(line(*facts))).run()
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return 1
    print(f"seed {seed}: all is as promised")
    return 0


def search(first: int, seeds: int) -> int:
    """Many worlds: those that fail, and in the end what happened in all of them."""
    began, total, shown = time.monotonic(), Outcome(), 0
    for total in campaign(range(first, first + seeds)):
        for failure in total.failures[shown:]:
            print(failure, flush=True)
        shown = len(total.failures)
        if shown >= _ENOUGH:
            break
    for what, times in sorted(total.counts.items()):
        print(f"  {times:>10,}  {what}")
    seconds = time.monotonic() - began
    print(
        f"seeds {first} to {first + total.seeds - 1}: {shown} failed; {total.events:,} events in {seconds:.1f} s,"
        f" {total.cpu_seconds:.1f} s of CPU"
    )
    return int(bool(shown))


if __name__ == "__main__":
    sys.exit(main())
