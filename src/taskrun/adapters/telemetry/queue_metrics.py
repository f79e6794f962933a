"""What waits, as metrics of one moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from taskrun.adapters.telemetry.few_labels import FewLabels
from taskrun.domain.batch import Backlog
from taskrun.domain.records import Requirement


def queue_metrics(backlog: Mapping[Requirement, Backlog], agents: FewLabels, now_ms: int) -> Sequence[Metric]:
    """Depth and oldest age by agent. Where nothing waits, an agent of `agents` has zeros: an alert ends by itself."""
    waiting: dict[str, int] = {}
    oldest: dict[str, int] = {}
    for requirement, lane in backlog.items():
        if lane.waiting:
            agent = agents.label(requirement.agent)
            waiting[agent] = waiting.get(agent, 0) + lane.waiting
            oldest[agent] = min(oldest.get(agent, lane.oldest_ms), lane.oldest_ms)
    depth = GaugeMetricFamily("taskrun_queue_depth", "Tasks that wait for a worker.", labels=["agent"])
    age = GaugeMetricFamily("taskrun_queue_oldest_age_seconds", "How long the oldest has waited.", labels=["agent"])
    for agent in {**dict.fromkeys(agents.known()), **dict.fromkeys(waiting)}:
        depth.add_metric([agent], waiting.get(agent, 0))
        # Never below zero, whatever the clocks of store and control plane think of each other.
        age.add_metric([agent], max(0, now_ms - oldest.get(agent, now_ms)) / 1000)
    return (depth, age)
