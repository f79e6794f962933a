"""Going on with a conversation: which session a task had, the follow-up to it, and who said what.

An agent's session lives on the worker that ran it. So what goes on with it goes to that worker: the follow-up of a task
that has ended is a new task, which asks for the label by which the control plane knows every worker.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from hashlib import sha256
from itertools import chain

from taskrun.domain.errors import FailedPrecondition
from taskrun.domain.records import WORKER_LABEL, Continuation, Run, Task, TaskSpec

#: How long a follow-up waits for its worker if the task before it sets no limit: somebody is in a conversation.
FOLLOW_UP_WAIT_MS = 10 * 60 * 1000
#: Follow-ups that one run takes.
MAX_TAKEN = 100


def last_session(task: Task) -> Run | None:
    """The last run of the task that had a session."""
    return next((run for run in reversed(task.runs) if run.session_id), None)


def follow_up(task: Task, message: str, *, fork: bool, key: str) -> TaskSpec:
    """What goes on with a task that has ended, on the worker that holds its session, within the limits of before.

    The same question gives the same spec. Raises `FailedPrecondition` if the task had no session.
    """
    run = last_session(task)
    if run is None:
        raise FailedPrecondition(
            f"Task {task.id} has no session to go on with: its agent {task.spec.agent} keeps none, or did not open one."
        )
    return replace(
        task.spec,
        input_json=json.dumps(message, ensure_ascii=False),
        selector=_pinned(task.spec.selector, run.worker_id),
        idempotency_key=key,
        queue_timeout_ms=task.spec.queue_timeout_ms or FOLLOW_UP_WAIT_MS,
        continues=Continuation(task.id, run.session_id, fork),
    )


def message_id(caller: str, key: str, message: str) -> str:
    """What stands for a message that is sent under an idempotency key: the same each time that it is sent."""
    return f"{_digest(caller, key)}.{_digest(message)}"


def is_same_key(message_id: str, other: str) -> bool:
    """Whether both ids come from one caller's use of one key."""
    return message_id.partition(".")[0] == other.partition(".")[0]


def known_as(message_id: str, task: Task, under_way: Iterable[str] = ()) -> str:
    """The id of a message with the key of this one that is `under_way` to the task, or that one of its runs has taken;
    "" if there is none."""
    taken = (each for run in task.runs for each in run.taken)
    return next((each for each in chain(under_way, taken) if is_same_key(each, message_id)), "")


def _pinned(selector: tuple[tuple[str, str], ...], worker_id: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({**dict(selector), WORKER_LABEL: worker_id}.items()))


def _digest(*parts: str) -> str:
    return sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]
