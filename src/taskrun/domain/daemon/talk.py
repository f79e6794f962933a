"""The turns of one run: an agent that keeps a session is asked again, in it, what came while it had its turn.

All turns are one run: its time limit counts for them together, what they consumed is summed, and how the last one went
is how the run went. A turn that fails is the last.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from taskrun.domain.conversation import MAX_TAKEN
from taskrun.domain.protocol import AssignRun, ContinueRun, RunReport
from taskrun.domain.records import RunMessage, Usage
from taskrun.domain.status import ChatRole, RunStatus
from taskrun.domain.usage import together

_UNHEARD = "The agent did not hear the last {}: the run ended before its next turn."


class Talk:
    """What is said to the agent of one run, and what it answers."""

    def __init__(self, run: AssignRun) -> None:
        self._run = run
        #: Taken, and not heard by the agent.
        self._waiting: deque[str] = deque()
        #: Taken, in this run: ids, and messages that came without one.
        self._taken: set[str] = set()
        self._count = 0
        #: What the turns that are over have consumed.
        self.consumed: Usage | None = None

    def take(self, order: ContinueRun) -> RunMessage | None:
        """Keeps the message for the next turn and returns the word that confirms it; None if it has it already."""
        if order.id in self._taken or self._count >= MAX_TAKEN:
            return None
        if order.id:
            self._taken.add(order.id)
        self._count += 1
        self._waiting.append(order.message)
        return RunMessage(order.run_id, ChatRole.USER, order.message, id=order.id)

    def answered(self, report: RunReport, said: str) -> Iterator[RunMessage]:
        """A turn is over: what the agent answered in it, if it is one that can be talked with."""
        if report.status is RunStatus.COMPLETED and report.session_id and said:
            yield RunMessage(report.run_id, ChatRole.ASSISTANT, said)

    def next_turn(self, report: RunReport) -> AssignRun | None:
        """What the agent is asked next, in the session of the turn that is over; None if the run is over with it."""
        if not self._waiting or not report.session_id or report.status is not RunStatus.COMPLETED:
            return None
        self.consumed = together(self.consumed, report.usage)
        message = json.dumps(self._waiting.popleft(), ensure_ascii=False)
        return replace(self._run, input_json=message, session_id=report.session_id, fork=False)

    def unheard(self) -> Iterator[RunMessage]:
        """The run is over: what is to be said of messages that were taken in vain."""
        if self._waiting:
            count = len(self._waiting)
            messages = "message" if count == 1 else f"{count} messages"
            yield RunMessage(self._run.run_id, ChatRole.SYSTEM, _UNHEARD.format(messages))

    def summed(self, report: RunReport) -> RunReport:
        """The last turn's report, with what all of them consumed."""
        return replace(report, usage=together(self.consumed, report.usage))
