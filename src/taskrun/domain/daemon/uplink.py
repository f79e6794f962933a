"""The life of a worker's link to its control plane, one table for all the links it has in turn."""

from __future__ import annotations

from enum import Enum

from taskrun.domain.machines.machine import Machine


class UplinkState(Enum):
    """Where the daemon stands with its control plane."""

    #: Nothing was tried yet.
    NEW = "new"
    DIALLING = "dialling"
    UP = "up"
    #: Drained: the last word is on its way.
    LEAVING = "leaving"
    #: Without a link, until the runs of the last one are gone and the delay is over.
    AWAY = "away"
    OVER = "over"


class UplinkEvent(Enum):
    """What can happen to the link."""

    DIAL = "dial"
    OPENED = "opened"
    LOST = "lost"
    DRAINED = "drained"
    FINISHED = "finished"


_S, _E = UplinkState, UplinkEvent

UPLINK: Machine[UplinkState, UplinkEvent] = Machine(
    "uplink",
    {
        (_S.NEW, _E.DIAL): _S.DIALLING,
        (_S.NEW, _E.FINISHED): _S.OVER,
        (_S.DIALLING, _E.OPENED): _S.UP,
        (_S.DIALLING, _E.LOST): _S.AWAY,
        (_S.DIALLING, _E.FINISHED): _S.OVER,
        (_S.UP, _E.LOST): _S.AWAY,
        (_S.UP, _E.DRAINED): _S.LEAVING,
        (_S.LEAVING, _E.LOST): _S.AWAY,
        (_S.LEAVING, _E.FINISHED): _S.OVER,
        (_S.AWAY, _E.DIAL): _S.DIALLING,
        (_S.AWAY, _E.FINISHED): _S.OVER,
    },
)
