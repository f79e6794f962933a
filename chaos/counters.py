"""How often what happened: by what is counted a round proves something, or is void."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

from chaos.history import Event
from chaos.record import PAST_GRACE, PLANE, Record

# Beside those of the faults.
OUTLIVED = "runs that outlived an outage"
CUT_SHORT = "runs that were cut short by a death"
ISLANDS = "runs that were given to another worker"
MOVED = "workers that lost one control plane of several"
WOKE_ELSEWHERE = "frozen workers that woke to another control plane"
CAME_BACK = "times that a worker came back"
TURNED_AWAY = "creates that were turned away"
ACKNOWLEDGED = "tasks acknowledged"


def count(record: Record) -> dict[str, int]:
    """How often each fault happened, how many runs outlived one, and how much there was to read."""
    counters: dict[str, int] = defaultdict(int)
    for fault in record.by_kind["fault"]:
        kind = _kind(fault)
        counters[kind] += 1
        counters[met(kind)] += _met_a_run(record, fault)
    counters[OUTLIVED] = sum(_outlived(record, run) for run in record.began_of_run)
    counters[CUT_SHORT] = sum(_cut_short(record, run) for run in record.began_of_run)
    counters[ISLANDS] = sum(map(_moves, record.finals.values()))
    counters[MOVED] = sum(map(len, record.losses.values()))
    counters[WOKE_ELSEWHERE] = sum(_woke_elsewhere(record, fault) for fault in record.by_kind["fault"])
    counters[CAME_BACK] = sum(len(arrivals) - 1 for arrivals in record.arrivals.values())
    counters[TURNED_AWAY] = len(record.by_kind["turned away"])
    counters[ACKNOWLEDGED] = len(record.number_of)
    counters["agents began"] = sum(map(len, record.began_of_run.values()))
    counters["cancels acknowledged"] = len(record.cancels_acknowledged)
    counters["entries watched"] = sum(len(event["atoms"]) for event in record.watched)
    return dict(counters)


def met(kind: str) -> str:
    """The counter of those faults of a kind in whose moment an agent was at work that they met."""
    return f"{kind}, and met a run"


def _met_a_run(record: Record, fault: Event) -> bool:
    """By the agents' own word: whoever planned the fault may have believed something else."""
    at = fault["at"]
    at_work = (began for begun in record.began_of_run.values() for began in begun if _concerns(fault, began["worker"]))
    return any(span.begin <= at <= span.end for span in map(record.execution, at_work))


def _concerns(fault: Event, worker: str) -> bool:
    """Whether it is a fault of this worker, or of the control plane that it was with."""
    return worker == fault["target"] or fault["target"] == PLANE or worker in fault.get("workers", ())


def _kind(fault: Event) -> str:
    """Its name among the faults of a round."""
    return f"{fault['fault']}: {'control plane' if fault['target'].startswith(PLANE) else 'worker'}"


def _outlived(record: Record, run: str) -> bool:
    """Whether its agent began before an outage and came to its own end after it."""
    began, *_ = record.began_of_run[run]
    done = [event["at"] for event in record.ended_of_run.get(run, ()) if event["how"] == "done"]
    worker = began["worker"]
    outages = [span for of in (record.outages, record.losses) for span in of.get(worker, ())]
    outages += record.outages.get(PLANE, ())
    return bool(done) and any(began["at"] < outage.begin and outage.end < done[0] for outage in outages)


def _cut_short(record: Record, run: str) -> bool:
    """Whether its agent was in the middle of something when its worker was killed."""
    began, *_ = record.began_of_run[run]
    deaths = record.deaths.get(began["worker"], ())
    return not record.ended_of_run.get(run) and any(at >= began["at"] for at in deaths)


def _woke_elsewhere(record: Record, fault: Event) -> bool:
    """Whether its runs were others' when the worker came back, and that to another control plane than it had left."""
    if fault["fault"] != PAST_GRACE:
        return False
    visits = [event for event in record.by_kind["connected"] if event["worker"] == fault["target"]]
    left = [visit["plane"] for visit in visits if visit["at"] <= fault["at"]]
    found = [visit["plane"] for visit in visits if visit["at"] > fault["at"]]
    return bool(left and found) and left[-1] != found[0]


def _moves(final: Event) -> int:
    """How often the task was tried again at another worker than the time before."""
    workers = [run["worker"] for run in final["runs"]]
    return sum(before != after for before, after in pairwise(workers))
