"""What the daemon's core takes in."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.domain.errors import TaskRunError
from taskrun.domain.protocol import RunReport, ToWorker
from taskrun.domain.values import value


@value(frozen=True, slots=True)
class DaemonBegan:
    """The daemon runs from now on."""


@value(frozen=True, slots=True)
class LinkOpened:
    """A stream to the control plane is open, and the hello is sent."""


@value(frozen=True, slots=True)
class LinkLost:
    """The stream is over, or could not be opened."""

    error: TaskRunError
    #: Coming again is no use.
    final: bool = False
    #: The control plane does not take what was said: to say it again is no use.
    refused: bool = False


@value(frozen=True, slots=True)
class ControlPlaneSpoke:
    """Messages came over the link, in this order."""

    messages: Sequence[ToWorker]


@value(frozen=True, slots=True)
class OutboxSent:
    """The transport took everything that was in the outbox."""


@value(frozen=True, slots=True)
class AgentEnded:
    """An agent is gone, with everything it had started. `report` is its own word on how its turn went."""

    report: RunReport
    #: What it said in it, short enough for a message.
    said: str = ""


@value(frozen=True, slots=True)
class DrainAsked:
    """No new runs; the daemon ends once the ones it has are over."""


@value(frozen=True, slots=True)
class StopAsked:
    """The runs it has end now."""


@value(frozen=True, slots=True)
class CertificateRenewed:
    """Links that are opened from now on are under another certificate. The one that is open ends with the old one's."""


@value(frozen=True, slots=True)
class TimePassed:
    """A deadline may have come."""


News = (
    DaemonBegan
    | LinkOpened
    | LinkLost
    | ControlPlaneSpoke
    | OutboxSent
    | AgentEnded
    | DrainAsked
    | StopAsked
    | CertificateRenewed
    | TimePassed
)
