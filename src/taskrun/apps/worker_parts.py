"""Who is given what in the worker: its parts, put together. Nothing is made before it is asked for."""

from __future__ import annotations

import os
import random
import socket
import uuid
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from dependency_injector import containers, providers

from taskrun.adapters.agents.containment.means import containment
from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.adapters.agents.definitions import BUILT_IN, make_workshop
from taskrun.adapters.agents.kinds import find_kind
from taskrun.adapters.agents.program import Workshop
from taskrun.adapters.grpc.link import GrpcConnector
from taskrun.adapters.system.clock import SystemClock
from taskrun.apps.own_identity import OwnIdentity, ask_for_renewal
from taskrun.apps.settings import OWN_LABELS, WorkerSettings
from taskrun.domain.records import WorkerInfo
from taskrun.engine.certificate_keeper import CertificateKeeper
from taskrun.engine.daemon import Daemon
from taskrun.ports.agents import Agent
from taskrun.version import __version__

#: The label by which a task can select workers whose runs are contained in this way.
CONTAINMENT_LABEL = f"{OWN_LABELS}containment"


def _own_identity(settings: WorkerSettings, addrs: Sequence[str]) -> OwnIdentity:
    return OwnIdentity(settings.cert_path, settings.key_path, settings.ca_path, partial(ask_for_renewal, addrs))


def _connectors(addrs: Sequence[str], identity: OwnIdentity) -> Sequence[GrpcConnector]:
    return [GrpcConnector(addr, identity.tls) for addr in addrs]


def _agents(settings: WorkerSettings, workshop: Workshop) -> Sequence[Agent]:
    """One of the configuration stands in for a built-in one of its name."""
    definitions: dict[str, AgentDefinition] = {agent.name: agent for agent in (*BUILT_IN, *settings.agents)}
    return [find_kind(definition.kind).make(definition, workshop) for definition in definitions.values()]


def _info(settings: WorkerSettings) -> WorkerInfo:
    """The agents are filled in by the daemon."""
    labels = {**settings.labels, CONTAINMENT_LABEL: containment()}
    return WorkerInfo(socket.gethostname(), __version__, (), labels)


class WorkerContainer(containers.DeclarativeContainer):
    """The parts of `taskrun-worker`."""

    settings = providers.Dependency(instance_of=WorkerSettings)
    #: The gRPC addresses of control planes that share a store.
    addrs = providers.Dependency(instance_of=tuple)
    #: Where runs get their directories.
    work_dir = providers.Dependency(instance_of=Path)

    clock = providers.Singleton(SystemClock)
    chance = providers.Object(random.SystemRandom().random)
    process = providers.Factory(lambda: str(uuid.uuid4()))
    identity = providers.Singleton(_own_identity, settings, addrs)
    connectors = providers.Singleton(_connectors, addrs, identity)
    workshop = providers.Singleton(
        make_workshop, work_dir, providers.Object(os.environ), settings.provided.stop_grace, settings.provided.keeping
    )
    agents = providers.Singleton(_agents, settings, workshop)
    info = providers.Singleton(_info, settings)
    daemon = providers.Singleton(
        Daemon,
        connectors,
        agents,
        info,
        clock,
        settings.provided.timers,
        settings.provided.max_concurrent_runs,
        chance,
        process,
    )
    keeper = providers.Singleton(CertificateKeeper, identity, clock, chance, daemon.provided.renewed)
