"""Agents that are Python functions, for workers in one's own process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from taskrun.adapters.agents.leaving import left_in_time
from taskrun.adapters.agents.stages import staged
from taskrun.domain.records import NO_LABELS, AgentSpec, Labels, ModelBackend
from taskrun.domain.status import FailureKind
from taskrun.ports.agents import AgentRequest, AgentResult, AgentSink

Function = Callable[[AgentRequest, AgentSink], Awaitable[AgentResult | str | None]]

#: What the kind is called, in worker.toml too.
PYTHON = "python"
#: A function is in the worker's own process: nothing holds it together.
NO_CONTAINMENT = ""
#: Seconds that a function has to end when it is cancelled.
STOP_GRACE = 10.0


class FunctionAgent:
    """Implements `Agent` over `async def function(request, sink)`; `result_of` says what it may return.

    The run is told from its beginning to its end, as that of every kind of agent. It has no time limit of its own, and
    gets every `request.session_id`. When it is cancelled, it has ten seconds to end.
    """

    def __init__(
        self,
        name: str,
        function: Function,
        description: str = "",
        labels: Labels = NO_LABELS,
        backends: Sequence[ModelBackend] = (),
    ) -> None:
        self._function = function
        self._spec = AgentSpec(name, description, labels, tuple(backends))

    @property
    def spec(self) -> AgentSpec:
        """See `Agent.spec`."""
        return self._spec

    async def run(self, request: AgentRequest, sink: AgentSink) -> AgentResult:
        """See `Agent.run`."""
        return await staged(PYTHON, NO_CONTAINMENT, sink, lambda: result_of(self._function, request, sink))


async def result_of(
    function: Function, request: AgentRequest, sink: AgentSink, grace: float = STOP_GRACE
) -> AgentResult:
    """What the function comes to. A cancellation waits for it for `grace` seconds at most, see `left_in_time`.

    None or a text, which is put out, is success; an `AgentResult` says it all. An exception fails the run as
    AGENT_ERROR with the exception's message, `sys.exit` too: what ends a program is not to end a worker. Any other
    return value is BAD_OUTPUT.
    """
    return await left_in_time(_outcome(function, request, sink), grace)


async def _outcome(function: Function, request: AgentRequest, sink: AgentSink) -> AgentResult:
    try:
        result: object = await function(request, sink)
    except Exception as error:
        return AgentResult(FailureKind.AGENT_ERROR, str(error) or type(error).__name__)
    except SystemExit as error:
        return AgentResult(FailureKind.AGENT_ERROR, f"The function wanted to end its process: exit {error}.")
    if isinstance(result, AgentResult):
        return result
    if isinstance(result, str):
        await sink.text(result)
    elif result is not None:
        return AgentResult(FailureKind.BAD_OUTPUT, f"The function returned {type(result).__name__}, not text.")
    return _SUCCESS


_SUCCESS = AgentResult()
