"""The rounds of the long form."""

from __future__ import annotations

from dataclasses import replace

from chaos.counters import CAME_BACK, CUT_SHORT, ISLANDS, MOVED, OUTLIVED, TURNED_AWAY, WOKE_ELSEWHERE
from chaos.disk import MIB
from chaos.rounds import Round, Volume
from chaos.site import Timers
from chaos.watchers import Audience

#: Nine times as fast as the product's own; in the same proportions.
_FAST = Timers(resume=10, grace=14, heartbeat=1.5, silence=5, reconnect=0.3)

#: Workers die here so often that it says nothing of the tasks that they have.
_NO_POISON = ("--poison-window", "0")

ROUNDS: dict[str, Round | Audience] = {
    round.name: round
    for round in (
        Round("control-plane", {"kill: control plane": 50}, tasks=2000, proof={OUTLIVED: 1, CAME_BACK: 1}),
        Round(
            "replicas",
            {
                "kill: control plane": 30,
                "freeze past the lease: control plane": 4,
                "kill: worker": 6,
                "freeze past the grace: worker": 3,
            },
            tasks=2000,
            proof={OUTLIVED: 1, MOVED: 1, CAME_BACK: 1, CUT_SHORT: 1, ISLANDS: 1, WOKE_ELSEWHERE: 1},
            planes=3,
            timers=replace(_FAST, lease=3),
            gap=(0.2, 1.2),
            attempts=100,
            plane=_NO_POISON,
        ),
        Round(
            "workers",
            {"kill: worker": 40},
            tasks=1000,
            proof={CUT_SHORT: 1},
            attempts=100,
            plane=_NO_POISON,
            programs=0.3,
        ),
        Round(
            "network",
            {
                "cut: worker": 20,
                "hold there: worker": 6,
                "hold back: worker": 6,
                "throttle: worker": 6,
                "freeze: worker": 6,
                "freeze: control plane": 6,
                "kill: control plane": 4,
            },
            tasks=1000,
            proof={OUTLIVED: 1},
            timers=_FAST,
            length=(0.5, 4.0),
            attempts=100,
        ),
        Round(
            "islands",
            {"hold there: worker": 4, "hold back: worker": 4, "freeze: worker": 3},
            tasks=200,
            proof={ISLANDS: 1},
            timers=Timers(resume=3, grace=8, heartbeat=1, silence=3, reconnect=0.3),
            length=(12.0, 15.0),
            attempts=100,
            longest=20.0,
            programs=0.4,
        ),
        Round(
            "disk",
            {"nearly full disk: control plane": 3, "full disk: control plane": 3},
            tasks=600,
            proof={TURNED_AWAY: 1, OUTLIVED: 1},
            disk=400 * MIB,
            length=(2.0, 4.0),
            longest=12.0,
        ),
        Round(
            "volume",
            {"kill: control plane": 3, "cut: worker": 3},
            tasks=6,
            proof={OUTLIVED: 1},
            gap=(1.0, 3.0),
            load=Volume,
        ),
        Audience(),
    )
}

#: Whoever has two cores for all of its tests may need ten seconds for what else takes one.
_PATIENT = Timers(resume=30, grace=40, heartbeat=1.5, silence=10, reconnect=0.3)

#: A little of everything, for the tests.
SHORT = Round(
    "short",
    {
        "kill: control plane": 2,
        "kill: worker": 2,
        "cut: worker": 2,
        "hold there: worker": 1,
        "hold back: worker": 1,
        "throttle: worker": 1,
        "freeze: worker": 1,
        "freeze: control plane": 1,
    },
    tasks=120,
    proof={OUTLIVED: 1, CUT_SHORT: 1},
    workers=3,
    timers=_PATIENT,
    gap=(0.2, 0.5),
    length=(0.2, 1.0),
    attempts=100,
    longest=3.0,
    programs=0.2,
)

#: The same for a disk that is full.
SHORT_DISK = Round(
    "short disk",
    {"nearly full disk: control plane": 1, "full disk: control plane": 1},
    tasks=60,
    proof={TURNED_AWAY: 1},
    workers=2,
    disk=300 * MIB,
    gap=(0.2, 0.5),
    length=(1.0, 1.0),
    longest=3.0,
)
