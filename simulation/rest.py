"""Whether a world has come to rest: everything has ended, and nobody keeps anything for anybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from simulation.world import World


def unrest(world: World) -> Iterator[str]:
    """What has not come to its end."""
    for task in world.store.kept.tasks.values():
        if not task.status.is_terminal:
            yield f"task {task.id} is {task.status.value}"
    for worker in world.workers:
        yield from (f"{worker.name} executes run {run_id}" for run_id in worker.agents)
        if not worker.core.connected:
            yield f"{worker.name} is not connected"
        if worker.core.outbox.weight:
            yield f"{worker.name} keeps {worker.core.outbox.weight} bytes"
    if not world.plane.ready:
        yield "the control plane is not ready"
    for known in world.plane.core.workers():
        if known.active_runs:
            yield f"{known.active_runs} slots of {known.id} are taken"
    if world.clients.open:
        yield f"{world.clients.open} calls are not answered"
    for watcher in world.clients.watchers:
        if not watcher.over:
            yield f"a watcher of task {watcher.task_id} waits"
