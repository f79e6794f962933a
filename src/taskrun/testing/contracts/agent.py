"""What every kind of agent must do. A binding gives the `stage` fixture: an `AgentStage` of its kind."""

from __future__ import annotations

from taskrun.testing.contracts.agent_failing import FailureContract, SilenceContract
from taskrun.testing.contracts.agent_nastiness import NastinessContract
from taskrun.testing.contracts.agent_permissions import PermissionContract
from taskrun.testing.contracts.agent_reading import ReadingContract
from taskrun.testing.contracts.agent_sessions import SessionContract
from taskrun.testing.contracts.agent_stopping import ConfinementContract, StoppingContract
from taskrun.testing.contracts.agent_story import StoryContract
from taskrun.testing.contracts.agent_streaming import OrderContract, TellingContract


class AgentContract(
    TellingContract,
    OrderContract,
    StoryContract,
    FailureContract,
    SilenceContract,
    ReadingContract,
    StoppingContract,
    NastinessContract,
    ConfinementContract,
    PermissionContract,
    SessionContract,
):
    """Sign it by subclassing with a `stage` fixture.

    Every act of the stage's kind is tried; one that the kind cannot play is skipped with the stage's reason for that.
    """
