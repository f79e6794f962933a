"""What clients say to agents: each message once, in the run or task that its sender was told of, and nowhere else."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from simulation.demand import demand
from taskrun.domain.records import Run, RunMessage, StoryEntry, Task
from taskrun.domain.status import ChatRole, RunStatus

if TYPE_CHECKING:
    from simulation.world import World


class Talk:
    """Keeps what was said and heard, and compares it with the stories in the end."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._said: set[str] = set()
        #: By run, what its agent heard after its first turn.
        self._heard: dict[str, list[str]] = defaultdict(list)
        self._answers: list[tuple[str, str, Task]] = []

    def speaks(self, message: str) -> None:
        """A client says this."""
        self._said.add(message)

    def answered(self, task_id: str, message: str, answer: Task) -> None:
        """Its sender was told of the task that has the answer."""
        self._world.count("message taken" if answer.id == task_id else "follow-up")
        self._answers.append((task_id, message, answer))

    def heard(self, run_id: str, input_json: str) -> None:
        """An agent hears it in its next turn."""
        self._world.count("another turn")
        self._heard[run_id].append(json.loads(input_json))

    def judge(self) -> None:
        """All of it, when all is over."""
        kept = self._world.store.kept
        places = Counter[str]()
        for task in kept.tasks.values():
            if task.spec.continues:
                places[json.loads(task.spec.input_json)] += 1
            for run in task.runs:
                taken = _messages(run, kept.stories[task.id], ChatRole.USER)
                self._judge_run(run, taken, bool(_messages(run, kept.stories[task.id], ChatRole.SYSTEM)))
                places.update(taken)
        demand(places.keys() <= self._said, "a run or a task has a message that nobody said")
        demand(all(count == 1 for count in places.values()), f"a message was said more than once: {places}")
        for task_id, message, answer in self._answers:
            self._judge_answer(task_id, message, answer)

    def _judge_run(self, run: Run, taken: list[str], remarked: bool) -> None:
        heard = self._heard.get(run.id, [])
        both = min(len(taken), len(heard))
        demand(heard[:both] == taken[:both], f"run {run.id} took {taken}, and its agent heard {heard}")
        missed = len(heard) < len(taken) and run.status is RunStatus.COMPLETED
        demand(not missed or remarked, f"the agent of run {run.id} did not hear {taken[both:]}, and nothing says so")

    def _judge_answer(self, task_id: str, message: str, answer: Task) -> None:
        kept = self._world.store.kept
        task = kept.tasks.get(answer.id)
        demand(task is not None, f"the follow-up {answer.id} was acknowledged, and is lost")
        assert task is not None
        if answer.id == task_id:
            taken = [each for run in task.runs for each in _messages(run, kept.stories[task_id], ChatRole.USER)]
            demand(message in taken, f"{message} to task {task_id} was acknowledged, and is lost")
        else:
            goes_on = task.spec.continues is not None and task.spec.continues.task_id == task_id
            demand(goes_on and json.loads(task.spec.input_json) == message, f"task {answer.id} is another follow-up")


def _messages(run: Run, story: list[StoryEntry], role: ChatRole) -> list[str]:
    bodies = [entry.body for entry in story if isinstance(entry.body, RunMessage)]
    return [body.content for body in bodies if body.run_id == run.id and body.role is role]
