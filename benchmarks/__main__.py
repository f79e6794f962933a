"""`python -m benchmarks [--quick] [SECTION ...]`: measure, print one table, exit 1 if a figure misses its mark."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from benchmarks import backlog, growth, latency, output, quotas, raw, replicas, restart, stores, throughput
from benchmarks.plant import Plant
from benchmarks.table import Table

SECTIONS = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "output": output.measure,
    "growth": growth.measure,
    "stores": stores.measure,
    "replicas": replicas.measure,
    "backlog": backlog.measure,
    "quotas": quotas.measure,
    "restart": restart.measure,
}


async def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    options = parser.parse_args()
    unknown = set(options.sections) - set(SECTIONS)
    if unknown:
        parser.error(f"unknown section: {', '.join(sorted(unknown))}")
    scale = 0.1 if options.quick else 1.0
    table = Table()
    with tempfile.TemporaryDirectory(prefix="taskrun-bench-") as directory:
        plant = Plant(Path(directory))
        before = await raw.measure(plant, scale)
        for name in options.sections or SECTIONS:
            print(f"measuring {name} ...", file=sys.stderr)
            figures = await SECTIONS[name](plant, scale)
            # These machines are noisy: a section's limit is the mean of what was measured before and after it.
            after = await raw.measure(plant, scale)
            limits = before.mean(after)
            for figure in figures:
                table.add(figure, getattr(limits, figure.limit) if figure.limit else None)
            before = after
    print(table)
    return int(table.missed)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
