"""`python -m benchmarks [--quick] [SECTION ...]`: measure and print one table."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks import growth, latency, output, raw, throughput
from benchmarks.plant import Plant
from benchmarks.table import Table

SECTIONS = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "output": output.measure,
    "growth": growth.measure,
}


async def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--check", action="store_true", help="exit 1 if a figure misses its mark")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section: {', '.join(sorted(unknown))}")
    scale = 0.1 if options.quick else 1.0
    table = Table()
    with tempfile.TemporaryDirectory(prefix="taskrun-bench-") as directory:
        plant = Plant(Path(directory))
        # The limit is measured before and after, and between: these machines are noisy.
        limits = await raw.measure(plant, scale)
        for name in options.sections or SECTIONS:
            print(f"measuring {name} ...", file=sys.stderr)
            await SECTIONS[name](plant, table, limits, scale)
            limits = limits.mean(await raw.measure(plant, scale))
    limits.describe(table)
    print(table)
    return int(options.check and table.missed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
