"""The agent's plan, as its tools for plans leave it: `TodoWrite` gives the whole of it, newer CLIs change it by
`TaskCreate` and `TaskUpdate`, a step at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from taskrun.adapters.agents.loose import mapping, mappings, text
from taskrun.ports.agent_events import PlanMade

_MARKS = {True: "[x] ", False: "[ ] "}


class Plan:
    """Follows the plan of one session's run."""

    def __init__(self) -> None:
        #: Each step's words and status, by its id.
        self._steps: dict[str, tuple[str, str]] = {}
        self._changes: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any]], None]] = {
            "TodoWrite": self._written,
            "TaskCreate": self._created,
            "TaskUpdate": self._updated,
        }

    def used(self, tool: str, input: Mapping[str, Any], answer: Mapping[str, Any]) -> Sequence[PlanMade]:
        """A tool did its work; `answer` is what the CLI says of it, in fields. The plan anew, if it is another."""
        change = self._changes.get(tool)
        if change is None:
            return ()
        before = dict(self._steps)
        change(input, answer)
        return () if self._steps == before else (PlanMade(str(self)),)

    def __str__(self) -> str:
        return "\n".join(_MARKS[status == "completed"] + words for words, status in self._steps.values())

    def _written(self, input: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        steps = mappings(input.get("todos"))
        self._steps = {str(i): (text(step.get("content")), text(step.get("status"))) for i, step in enumerate(steps)}

    def _created(self, input: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        task = text(mapping(answer.get("task")).get("id"))
        self._steps[task] = (text(input.get("subject")), "pending")

    def _updated(self, input: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
        task, status = text(input.get("taskId")), text(input.get("status"))
        # A step of an earlier run in this session is known by its number alone.
        words, now = self._steps.get(task, (f"step {task}", ""))
        if status == "deleted":
            self._steps.pop(task, None)
        else:
            self._steps[task] = (text(input.get("subject")) or words, status or now)
