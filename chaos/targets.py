"""Whom a fault strikes: somebody who has runs, while there is one, for what meets nobody proves nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random

from chaos.site import Program, Site
from taskrun.domain.records import TaskQuery
from taskrun.domain.status import TaskStatus

#: Seconds in which somebody should have something to do.
_SOON = 5.0
#: Seconds between two looks.
_LOOK = 0.05


async def worker_at_work(site: Site, random: Random) -> Program:
    """A worker that has runs, if there is one soon."""
    return site.workers[random.choice(await _at_work(site) or sorted(site.workers))]


async def busiest_worker(site: Site, random: Random) -> Program:
    """The worker that has most runs: a death leaves little time to meet one."""
    busiest, *_ = await _at_work(site) or [random.choice(sorted(site.workers))]
    return site.workers[busiest]


async def plane_at_work(site: Site, random: Random) -> Program:
    """A control plane whose workers have runs, if there is one soon. One that is alone has all of them."""
    busy = set(await _at_work(site))
    with_work = [name for name, plane in sorted(site.planes.items()) if busy.intersection(site.workers_of(plane))]
    return site.planes[random.choice(with_work or sorted(site.planes))]


async def _at_work(site: Site) -> list[str]:
    """The workers that have runs, who has most first, as soon as there are some."""
    for _ in range(int(_SOON / _LOOK)):
        runs = await runs_of_workers(site)
        if runs:
            return [worker for worker, _ in runs.most_common()]
        await asyncio.sleep(_LOOK)
    return []


async def runs_of_workers(site: Site) -> Counter[str]:
    """How many runs each worker has, as the store has it: what one control plane knows of the workers of another is a
    moment old."""
    page = await site.line.ask(lambda client: client.find(TaskQuery(TaskStatus.RUNNING, limit=1000)))
    return Counter(task.runs[-1].worker_id for task in page.tasks)
