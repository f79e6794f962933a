"""The contract of `Peers`, and of a `Store` that several control planes share.

A binding gives the fixtures `a` and `b`: two of them, both recovered, `a` first.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from taskrun.ports.peers import Call
from taskrun.testing.contracts.peers_beginning import BeginningLimitContract
from taskrun.testing.contracts.peers_calling import CallsContract, ShownWorkersContract
from taskrun.testing.contracts.peers_cases import Ear, SharedStore
from taskrun.testing.contracts.peers_counting import CountedContract
from taskrun.testing.contracts.peers_limits import RunningLimitContract
from taskrun.testing.contracts.peers_making import MakingContract
from taskrun.testing.contracts.peers_ownership import KeysOfSeveralContract, OwnershipOfSeveralContract
from taskrun.testing.contracts.peers_rates import RateContract
from taskrun.testing.contracts.peers_relaying import MessagesContract, RelayContract
from taskrun.testing.contracts.peers_turns import TurnsContract
from taskrun.testing.contracts.peers_waiting import WaitingLimitContract


class PeersContract(
    RunningLimitContract,
    BeginningLimitContract,
    CountedContract,
    TurnsContract,
    RateContract,
    MakingContract,
    WaitingLimitContract,
    OwnershipOfSeveralContract,
    RelayContract,
    MessagesContract,
    KeysOfSeveralContract,
    ShownWorkersContract,
    CallsContract,
):
    """Sign it by subclassing with the fixtures `a` and `b`."""

    @pytest.fixture
    async def ear(self, a: SharedStore, b: SharedStore) -> AsyncIterator[Ear]:
        """One that listens, was told so, and is known to the other."""
        await a.peers.meet([])
        ear = Ear(b)
        assert await ear.next() == Call(meet=True, missed=True)
        yield ear
        await ear.close()
