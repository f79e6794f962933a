"""How a program's end reads as the end of a run."""

from __future__ import annotations

import os
import signal
from pathlib import PurePath

from taskrun.adapters.agents.containment.process import Ending
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentResult


def failure_of(ending: Ending, errors: str) -> AgentResult | None:
    """The failure, with the end of what the program wrote to its standard error; None for exit code 0."""
    if ending.not_started:
        # Its name alone: where this machine has its programs is no business of whoever creates tasks.
        name, reason = PurePath(ending.program).name, os.strerror(ending.not_started)
        return AgentResult(FailureKind.AGENT_UNAVAILABLE, f"The agent's program {name} could not be started: {reason}.")
    if ending.code == 0:
        return None
    return AgentResult(FailureKind.AGENT_ERROR, "\n".join(filter(None, (_words(ending.code), errors))))


def _words(code: int | None) -> str:
    if code is None:
        return "The agent's supervisor was killed, and the agent with it."
    if code < 0:
        return f"The agent's program was ended by {_signal_name(-code)}."
    return f"The agent's program ended with exit code {code}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
