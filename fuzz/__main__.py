"""`python -m fuzz [--seconds S] [--cases N] [--seed N] [--keep DIR] [--case FILE] [TARGET ...]`.

Has each target take cases for its time and prints what became of it. Exit code 1 on any fault; the case that did it
stays in a file, with which it can be tried again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from random import SystemRandom

import fuzz.targets
from fuzz.drivers import IS_GUIDED, Chance, Driver, LibFuzzer
from fuzz.play import Verdict, again, play, told
from fuzz.target import Target
from taskrun.testing.arguments import amount

#: One module each.
NAMES = tuple(sorted(module.name for module in iter_modules(fuzz.targets.__path__) if not module.ispkg))


def main() -> int:
    options = _parser().parse_args()
    unknown = set(options.targets) - set(NAMES)
    if unknown:
        _parser().error(f"unknown target: {', '.join(sorted(unknown))}")
    names = options.targets or NAMES
    if options.case:
        for name in names:
            find(name).take(options.case.read_bytes())
        return 0
    seed = SystemRandom().randrange(1, 2**31) if options.seed is None else options.seed
    if not IS_GUIDED and not options.cases:
        print("fuzz: WARNING: atheris is not to be had here: cases are changed by chance alone", flush=True)
    print(f"seed {seed}", flush=True)
    faults = Path(options.keep or tempfile.mkdtemp(prefix="fuzz-"))
    verdicts = []
    for name in names:
        driver = _driver(options, seed, name)
        with driver.importing():
            target = find(name)
        verdicts.append(play(name, target, driver))
        _tell(verdicts[-1], faults)
    return int(any(verdict.fault for verdict in verdicts))


def find(name: str) -> Target:
    """The target of this name."""
    target: Target = import_module(f"fuzz.targets.{name}").TARGET
    return target


def _driver(options: argparse.Namespace, seed: int, name: str) -> Driver:
    if options.cases or not IS_GUIDED:
        return Chance(seed, cases=options.cases, seconds=options.seconds)
    return LibFuzzer(seed, options.seconds, options.keep and options.keep / name)


def _tell(verdict: Verdict, faults: Path) -> None:
    print(told(verdict), flush=True)
    if verdict.fault:
        path = faults / f"{verdict.name}-{verdict.fault}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(verdict.case)
        print(f"{verdict.story}\n{again(verdict.name, path)}", flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=amount, default=120.0, help="for each target")
    parser.add_argument("--cases", type=int, default=0, help="so many in place of a time, by chance alone")
    parser.add_argument("--seed", type=int, default=None, help="by default another each time")
    parser.add_argument("--keep", type=Path, default=None, help="where what was found stays, and is gone on with")
    parser.add_argument("--case", type=Path, default=None, help="a file: the one case that is tried")
    return parser


if __name__ == "__main__":
    sys.exit(main())
