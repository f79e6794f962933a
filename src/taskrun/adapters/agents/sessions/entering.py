"""A run's way into its room."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AsyncExitStack

from taskrun.adapters.agents.execution import CannotRun
from taskrun.adapters.agents.sessions.rooms import Room
from taskrun.adapters.agents.sessions.shelf import NotKept
from taskrun.domain.status import FailureKind


async def enter(stack: AsyncExitStack, room: AbstractAsyncContextManager[Room]) -> Room:
    """Enters it until the stack is left. Raises `CannotRun` if there is no such session here, or no room to be had."""
    try:
        return await stack.enter_async_context(room)
    except NotKept as error:
        raise CannotRun(FailureKind.AGENT_UNAVAILABLE, str(error)) from error
    except OSError as error:
        message = f"The run got no directory: {error.strerror or error}."
        raise CannotRun(FailureKind.AGENT_UNAVAILABLE, message) from error
