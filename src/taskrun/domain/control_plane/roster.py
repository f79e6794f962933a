"""Workers as they are listed: one list out of what several control planes have."""

from __future__ import annotations

from collections.abc import Iterable

from taskrun.domain.records import WorkerView
from taskrun.domain.status import WorkerStatus


def matching(views: Iterable[WorkerView], agent: str = "", status: WorkerStatus | None = None) -> list[WorkerView]:
    """Those that offer the agent and have the status, each if it is given; by id."""
    return sorted(
        (
            view
            for view in views
            if (status is None or view.status is status)
            and (not agent or any(spec.name == agent for spec in view.info.agents))
        ),
        key=lambda view: view.id,
    )


def merged(own: Iterable[WorkerView], others: Iterable[WorkerView]) -> Iterable[WorkerView]:
    """Each worker once. One that several control planes know is where it is connected, and came last."""
    by_id = {view.id: view for view in own}
    for view in others:
        known = by_id.get(view.id)
        if known is None or _presence(view) > _presence(known):
            by_id[view.id] = view
    return by_id.values()


def came_after(view: WorkerView, known: WorkerView) -> bool:
    """Whether a worker that one control plane waits for, as `known`, is connected to another since then."""
    return known.status is WorkerStatus.DISCONNECTED and _presence(view) > (True, known.connected_at_ms)


def _presence(view: WorkerView) -> tuple[bool, int]:
    return view.status is not WorkerStatus.DISCONNECTED, view.connected_at_ms
