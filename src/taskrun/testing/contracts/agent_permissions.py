"""What an agent may use its definition says, whatever its model wants."""

from __future__ import annotations

from taskrun.ports.agent_events import ToolCompleted
from taskrun.testing.contracts.agent_acts import DENIED_ANSWER, Act
from taskrun.testing.contracts.agent_stage import AgentTests, Rehearsal
from taskrun.testing.recording_sink import RecordingSink


class PermissionContract(AgentTests):
    """What nobody allowed is denied, and ends nothing."""

    async def test_a_tool_that_nobody_allowed_is_not_used(self, rehearsal: Rehearsal, sink: RecordingSink) -> None:
        result = await rehearsal.play(Act.DENIED, sink)
        # Some agents tell such a call to their model alone.
        assert "ok" not in {told.outcome for told in sink.those(ToolCompleted)}
        said = sink.output.splitlines()
        assert (result.failure, said != [], DENIED_ANSWER in said) == (None, True, False)
