"""What one scenario knows: the driver, and what its sentences call "it"."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from taskrun.domain.errors import NotFound, TaskRunError
from taskrun.domain.records import Task, TaskPage, TaskSpec
from tests.acceptance.driver import Caller, Driver
from tests.acceptance.steps.reader import Reader

T = TypeVar("T")


@dataclass
class Scene:
    """The state of a scenario between its steps."""

    driver: Driver
    #: Task ids by title, in the order of creation.
    tasks: dict[str, str] = field(default_factory=dict)
    #: The task and the worker that were spoken of last.
    title: str = ""
    worker_id: str = ""
    token: str = ""
    token_worker_id: str = ""
    #: The last spec that was sent, what was answered to the last two requests, and how the last one was refused.
    spec: TaskSpec | None = None
    answers: list[Task] = field(default_factory=list)
    refusal: TaskRunError | None = None
    page: TaskPage | None = None
    readers: list[Reader] = field(default_factory=list)
    #: Those that have a certificate of their own, by name.
    callers: dict[str, Caller] = field(default_factory=dict)

    def task(self, title: str = "") -> Task:
        """The task of that title, or the one spoken of last, as it now is."""
        self.title = title or self.title
        return self.driver.get(self.tasks[self.title])

    def create(self, title: str, spec: TaskSpec) -> Task:
        """Creates it, and speaks of it from now on."""
        self.title, self.spec = title, spec
        task = self.driver.create(spec)
        self.tasks.setdefault(title, task.id)
        self.answers.append(task)
        return task

    def say_more(self, message: str, title: str, *, fork: bool = False) -> None:
        """Says it to the agent of the task of that title. A new task is called by the message."""
        answer = self.driver.continue_task(self.tasks[title], message, fork=fork)
        self.answers.append(answer)
        if answer.id not in self.tasks.values():
            self.title = message
            self.tasks[message] = answer.id

    def title_of(self, task: Task) -> str:
        """What the scenario calls it."""
        return next(title for title, task_id in self.tasks.items() if task_id == task.id)

    def eventually(self, check: Callable[[], T], within: float = 0) -> T:
        """What `check` returns as soon as it raises no AssertionError or NotFound. `within` is the scenario's time."""
        error: Exception = AssertionError("There was no moment to look.")
        for _ in self.driver.moments(within):
            try:
                return check()
            except (AssertionError, NotFound) as failure:
                error = failure
        raise error

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Keeps the refusal of what is tried inside; that there is one is for a later step to say."""
        self.refusal = None
        try:
            yield
        except TaskRunError as refusal:
            self.refusal = refusal

    def close(self) -> None:
        """Ends what the scenario left open."""
        for reader in self.readers:
            reader.close()
