"""How a run went, from the way its agent's task ended."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from loguru import logger

from taskrun.domain.daemon.chunks import clipped, one_line
from taskrun.domain.limits import MAX_NAME
from taskrun.domain.protocol import RunReport
from taskrun.domain.records import ModelBackend, Usage
from taskrun.domain.status import FailureKind, RunStatus
from taskrun.domain.usage import bounded
from taskrun.ports.agents import AgentRequest, AgentResult

#: Characters of an error message: enough for a person, and no place for a log file.
MAX_ERROR = 4096
_MAX_INTERNAL = 512
#: Tokens: as many as the wire's number holds.
_MAX_CONTEXT = 2**32 - 1


def outcome(request: AgentRequest, task: asyncio.Task[AgentResult], told: Usage | None) -> RunReport:
    """The report of a run whose agent's task is done. An agent that breaks its contract fails as INTERNAL.

    `told` is the usage that the agent told on the way, for a run without a result that says it.
    """
    run_id = request.run_id
    if task.cancelled():
        return _internal(run_id, "The agent stopped without a result.", told)
    error = task.exception()
    if error is not None:
        # The traceback stays here.
        logger.opt(exception=error).error("the agent failed unexpectedly", task_id=request.task_id, run_id=run_id)
        return _internal(run_id, f"The agent failed unexpectedly: {type(error).__name__}: {error}", told)
    result = task.result()
    if not isinstance(result, AgentResult):
        return _internal(run_id, f"The agent returned {type(result).__name__}, not an AgentResult.", told)
    status = RunStatus.COMPLETED if result.failure is None else RunStatus.FAILED
    logger.debug("the agent ended: {}", status.value, task_id=request.task_id, run_id=run_id)
    error_text = clipped(result.error, MAX_ERROR) if result.error else ""
    usage = bounded(result.usage) if result.usage else told
    # By half of an id nobody could go on.
    session_id = result.session_id if len(result.session_id) <= MAX_NAME else ""
    return RunReport(run_id, status, error_text, result.failure, _tellable(result.backend), usage, session_id)


def _tellable(backend: ModelBackend | None) -> ModelBackend | None:
    """The backend with names that a control plane takes: they are as long as the agent's program made them."""
    if backend is None:
        return None
    context = backend.context_window if 0 <= backend.context_window <= _MAX_CONTEXT else 0
    provider, model = clipped(backend.provider, MAX_NAME), clipped(backend.model_name, MAX_NAME)
    return replace(backend, provider=provider, model_name=model, context_window=context)


def _internal(run_id: str, message: str, told: Usage | None) -> RunReport:
    return RunReport(run_id, RunStatus.FAILED, one_line(message, _MAX_INTERNAL), FailureKind.INTERNAL, usage=told)
