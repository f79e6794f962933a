"""A history in the order in which the oracle asks: by task, by run, by worker."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.history import Event
from chaos.speech import Speech

#: The target of faults of the control plane. Of several each has a number behind it. Any other target is a worker.
PLANE = "plane"
#: Faults after which nothing of the process is left.
DEATHS = frozenset({"kill"})
#: Of a worker: until its runs are others'.
PAST_GRACE = "freeze past the grace"
#: Faults during which a worker can stop nothing.
FREEZES = frozenset({"freeze", PAST_GRACE})
#: Faults during which worker and control plane do not hear each other.
OUTAGES = FREEZES | {"kill", "freeze past the lease", "hold there", "hold back", "full disk"}


@dataclass(frozen=True, slots=True)
class Promises:
    """The product's timers in this run, in seconds."""

    #: An outage shorter than this costs no run.
    resume: float
    #: What is left of a dead worker's runs is gone after this.
    orphan: float = 2.0
    #: Two outages with less between them are one, if the worker did not come back in between: so long it may need.
    settling: float = 5.0


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when something was, in seconds."""

    begin: float
    end: float

    def meets(self, other: Span, by: float = 0.0) -> bool:
        """Whether both were the case at once, for longer than `by`."""
        return min(self.end, other.end) - max(self.begin, other.begin) > by

    @property
    def length(self) -> float:
        return self.end - self.begin


class Record:
    """What the checks look things up in."""

    def __init__(self, events: Sequence[Event], promises: Promises) -> None:
        self.events, self.promises = events, promises
        self.last = max((event["at"] for event in events), default=0.0)
        by_kind: dict[str, list[Event]] = defaultdict(list)
        for event in events:
            by_kind[event["what"]].append(event)
        self.by_kind = by_kind
        #: By number.
        self.asked = {event["number"]: event for event in by_kind["asked"]}
        self.acknowledged = by_kind["acknowledged"]
        self.number_of = {event["task"]: event["number"] for event in by_kind["acknowledged"]}
        self.cancels_asked = {event["task"] for event in by_kind["cancel asked"]}
        self.cancels_acknowledged = {event["task"] for event in by_kind["cancel acknowledged"]}
        self.watched = by_kind["watched"]
        self.leftovers = by_kind["leftover"]
        #: By task.
        self.finals = {event["task"]: event for event in by_kind["final"]}
        #: By task, and by run.
        self.began_of_task = _grouped(by_kind["began"], "task")
        self.began_of_run = _grouped(by_kind["began"], "run")
        self.ended_of_run = _grouped(by_kind["ended"], "run")
        clock = by_kind["clock"][0] if by_kind["clock"] else {"at": 0.0, "utc": 0.0}
        self._utc_shift = clock["at"] - clock["utc"]
        #: By target: when it was killed, and when it and its peers did not hear each other.
        self.deaths = self._when(by_kind["fault"], DEATHS)
        self.outages = self._spans(OUTAGES)
        self._freezes = self._spans(FREEZES)
        self.losses = self._losses_of_workers()
        #: By worker: when it was connected anew.
        self.arrivals = {
            worker: [event["at"] for event in arrivals]
            for worker, arrivals in _grouped(by_kind["connected"], "worker").items()
        }

    def speech(self, final: Mapping[str, Any]) -> Speech | None:
        """What the task's agent was to say."""
        asked = self.asked.get(final["number"])
        return Speech.parse(asked["speech"]) if asked else None

    def run_span(self, run: Mapping[str, Any]) -> Span:
        """From its assignment to its end, as the control plane has it."""
        finished = run["finished"] + self._utc_shift if run["finished"] else self.last
        return Span(run["assigned"] + self._utc_shift, finished)

    def executions(self, task: str) -> list[tuple[str, str, Span]]:
        """Run, worker, and from when to when its agent certainly executed, for each agent of the task that began."""
        return [(event["run"], event["worker"], self.execution(event)) for event in self.began_of_task.get(task, ())]

    def died(self, worker: str, span: Span) -> bool:
        """Whether the worker was killed in this time."""
        return any(span.begin - 1 <= at <= span.end + 1 for at in self.deaths.get(worker, ()))

    def was_frozen(self, worker: str, span: Span) -> bool:
        """Whether the worker could not have done anything at some time in it, or had just come round."""
        soon = self.promises.settling
        return any(span.meets(Span(freeze.begin, freeze.end + soon)) for freeze in self._freezes.get(worker, ()))

    def longest_outage(self, worker: str, span: Span) -> float:
        """Seconds of the longest time, in or around the span, in which the worker and the control plane were apart."""
        outages = sorted([*self.outages.get(worker, ()), *self.outages.get(PLANE, ())], key=lambda outage: outage.begin)
        merged: list[Span] = []
        for outage in outages:
            if merged and self._goes_on(worker, merged[-1], outage):
                merged[-1] = Span(merged[-1].begin, max(merged[-1].end, outage.end))
            else:
                merged.append(outage)
        soon = self.promises.settling
        return max((out.length for out in merged if span.meets(Span(out.begin, out.end + soon))), default=0.0)

    def _goes_on(self, worker: str, before: Span, outage: Span) -> bool:
        """Whether to the worker both are one outage: it was nowhere connected between them."""
        came_back = any(before.end <= at <= outage.begin for at in self.arrivals.get(worker, ()))
        return outage.begin <= before.end + self.promises.settling and not came_back

    def execution(self, began: Event) -> Span:
        """From when to when this agent certainly executed."""
        start = began["at"]
        ends = [event["at"] for event in self.ended_of_run.get(began["run"], ()) if event["at"] >= start]
        ends += [at for at in self.deaths.get(began["worker"], ()) if at >= start]
        return Span(start, min(ends, default=start))

    def _when(self, faults: Iterable[Event], kinds: frozenset[str]) -> dict[str, list[float]]:
        found: dict[str, list[float]] = defaultdict(list)
        for event in faults:
            if event["fault"] in kinds:
                found[event["target"]].append(event["at"])
        return found

    def _losses_of_workers(self) -> dict[str, list[Span]]:
        """By worker: when the one control plane of several was away that it was with.

        That is no outage: others are there, and so it is no reason to begin an agent again either.
        """
        found: dict[str, list[Span]] = defaultdict(list)
        for event in self.by_kind["fault"]:
            for worker in event.get("workers", ()):
                found[worker].append(self._span(event))
        return found

    def _spans(self, kinds: Iterable[str]) -> dict[str, list[Span]]:
        """By target: from each fault of these kinds to its end, or to the end of the history."""
        found: dict[str, list[Span]] = defaultdict(list)
        for event in self.by_kind["fault"]:
            if event["fault"] in kinds:
                found[event["target"]].append(self._span(event))
        return found

    def _span(self, fault: Event) -> Span:
        ends = (over["at"] for over in self.by_kind["fault over"] if _ends(over, fault))
        return Span(fault["at"], min(ends, default=self.last))


def _ends(over: Event, fault: Event) -> bool:
    return (over["fault"], over["target"]) == (fault["fault"], fault["target"]) and over["at"] >= fault["at"]


def _grouped(events: Iterable[Event], key: str) -> dict[str, list[Event]]:
    groups: dict[str, list[Event]] = {}
    for event in events:
        groups.setdefault(event[key], []).append(event)
    return groups
