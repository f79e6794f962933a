"""What an agent does beside its output, as remarks: a calm line for each thing, none for what is told elsewhere.

A tool's call, what was decided about it, and how it ended stand on one line, as long as nothing came between them.
Metadata is a stranger's: each value may be missing, and be anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from taskrun.apps.cli import showing
from taskrun.apps.cli.paper import PLAIN, Ink, Paper
from taskrun.domain.records import Labels, RunEvent
from taskrun.domain.status import RunEventType

#: Characters that a line keeps free for how the call ended.
_ENDING = 48
_THINKING = "thinking"

#: The colour of a log line by its severity; others are for who looks at `--json`.
_SEVERITIES = {"warning": "yellow", "error": "red"}
#: The colour of what was decided about a call.
_DECISIONS = {"denied": "yellow"}
_OUTCOMES = {"error": "red"}


class EventRemarks:
    """Tells the events of one story."""

    def __init__(self, paper: Paper, *, thoughts: bool) -> None:
        """`thoughts`: they are shown, dimmed, and not only that there are some."""
        self._paper, self._thoughts = paper, thoughts
        #: The calls that are under way, each with its line and its beginning; and since when the agent thinks. In ms.
        self._asked: dict[str, tuple[list[Ink], int]] = {}
        self._thinking_since: int | None = None
        self._plan: list[str] = []
        self._unknown: set[int] = set()
        self._tellers: Mapping[RunEventType, Callable[[Labels, int], None]] = {
            RunEventType.SESSION_INITIALIZED: self._session,
            RunEventType.TOOL_REQUESTED: self._requested,
            RunEventType.PERMISSION_ASKED: self._asked_for,
            RunEventType.TOOL_COMPLETED: self._completed,
            RunEventType.THOUGHT: self._thought,
            RunEventType.PLAN: self._planned,
            RunEventType.RETRY: self._retried,
            RunEventType.LOG: self._logged,
        }

    def tell(self, event: RunEvent, at_ms: int) -> None:
        """Shows the event, which happened then."""
        if event.type is RunEventType.UNKNOWN:
            self._tell_unknown(event.number)
        elif teller := self._tellers.get(event.type):
            teller(event.metadata, at_ms)

    def pause(self, at_ms: int) -> None:
        """Something else is told next: what the agent thought before it is over."""
        since, self._thinking_since = self._thinking_since, None
        if since is not None:
            self._paper.add(_THINKING, [Ink(f" · {showing.span(at_ms - since)}")], last=True)

    def _session(self, about: Labels, at_ms: int) -> None:
        if about.get("model"):
            self._paper.remark(f"model {about['model']}")

    # Tools.

    def _requested(self, about: Labels, at_ms: int) -> None:
        call, line = _call(about), self._called(about)
        self._asked[call] = line, at_ms
        self._paper.remarks(line, about=call)

    def _asked_for(self, about: Labels, at_ms: int) -> None:
        decision = about.get("decision", "asked for")
        decided = Ink(decision, _DECISIONS.get(decision))
        if not self._paper.add(_call(about), [Ink(" · "), decided], last=False):
            self._paper.remarks([*self._called(about), Ink(" · "), decided])

    def _completed(self, about: Labels, at_ms: int) -> None:
        call = _call(about)
        line, asked_at = self._asked.pop(call, ([Ink(_tool(about), PLAIN)], None))
        ending = [Ink(" · "), *_ending(about, None if asked_at is None else at_ms - asked_at)]
        if not self._paper.add(call, ending, last=True):
            self._paper.remarks([*line, *ending])

    def _called(self, about: Labels) -> list[Ink]:
        """The tool and what it is to do, in what the line has room for."""
        tool = _tool(about)
        input = showing.clipped(" ".join(about.get("input", "").split()), self._paper.room(_ENDING) - len(tool))
        return [Ink(tool, PLAIN), Ink(f"  {input}")] if input else [Ink(tool, PLAIN)]

    # The rest.

    def _thought(self, about: Labels, at_ms: int) -> None:
        if self._thoughts:
            self._paper.aside(about.get("text", ""))
        elif self._thinking_since is None:
            self._thinking_since = at_ms
            self._paper.remarks([Ink("thinking")], about=_THINKING)

    def _planned(self, about: Labels, at_ms: int) -> None:
        """What is new in the plan. It comes whole each time, and most of it was shown before."""
        steps = about.get("plan", "").splitlines()
        done = sum(step.startswith("[x]") for step in steps)
        new = [step for step in steps if step not in self._plan]
        self._plan = steps
        if new:
            self._paper.remark(f"plan · {done} of {len(steps)} done", below="\n".join(new))

    def _retried(self, about: Labels, at_ms: int) -> None:
        delay = _number(about, "delay_ms")
        again = f"again in {showing.span(delay)}" if delay else "trying again"
        self._paper.remark(f"the model did not answer: {about.get('error', '?')}; {again}", "yellow")

    def _logged(self, about: Labels, at_ms: int) -> None:
        severity = about.get("severity", "")
        if severity in _SEVERITIES:
            first, *more = about.get("text", "").strip().splitlines() or [""]
            self._paper.remark(f"{severity}: {first}", _SEVERITIES[severity], below="\n".join(more))

    def _tell_unknown(self, number: int) -> None:
        """Once for each kind: nobody knows how many of them come."""
        if number not in self._unknown:
            self._unknown.add(number)
            self._paper.remark(f"events of a kind that this taskrun does not know{f' ({number})' if number else ''}")


def _tool(about: Labels) -> str:
    return about.get("tool") or "tool"


def _call(about: Labels) -> str:
    """What tells this call from others; an agent that gives calls no id has one of a tool at a time."""
    return about.get("tool_use_id") or _tool(about)


def _ending(about: Labels, took_ms: int | None) -> list[Ink]:
    outcome, size = about.get("outcome", "ok"), _number(about, "result_size")
    told = f" · {showing.amount(size)} characters" if size else ""
    told += f" · {showing.span(took_ms)}" if took_ms is not None else ""
    return [Ink(outcome, _OUTCOMES.get(outcome)), Ink(told)]


def _number(about: Labels, name: str) -> int:
    text = about.get(name, "")
    return int(text) if text.isdecimal() and len(text) < 16 else 0
