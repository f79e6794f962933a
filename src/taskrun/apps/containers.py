"""Who is given what: the programs' parts, put together in one place each. Nothing is made before it is asked for."""

from __future__ import annotations

import os
import random
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

from dependency_injector import containers, providers
from starlette.types import ASGIApp

from taskrun.adapters.agents.containment.means import containment
from taskrun.adapters.agents.definitions import BUILT_IN, AgentDefinition, make_agent
from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.disk import read_public
from taskrun.adapters.ca.files import load_key_pair
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.grpc.link import GrpcConnector
from taskrun.adapters.grpc.server import GrpcServer
from taskrun.adapters.grpc.tls import ClientTls, ServerTls
from taskrun.adapters.http.app import create_app
from taskrun.adapters.http.server import HttpServer
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.adapters.telemetry.metrics import PrometheusTelemetry
from taskrun.apps.settings import ControlPlaneSettings, WorkerSettings
from taskrun.domain.records import WorkerInfo
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.daemon import Daemon
from taskrun.engine.enrollment import Enroller
from taskrun.ports.agents import Agent
from taskrun.version import __version__

#: The label by which a task can select workers whose runs are contained in this way.
CONTAINMENT_LABEL = "taskrun.containment"


def _server_tls(settings: ControlPlaneSettings) -> ServerTls:
    certs = settings.certs_dir
    pair = load_key_pair(certs / "server.crt", certs / "server.key")
    return ServerTls(read_public(certs / "ca.crt"), pair.certificate_pem, pair.key_pem)


def _authority(settings: ControlPlaneSettings, clock: SystemClock) -> FileAuthority:
    return FileAuthority(settings.certs_dir / "ca.crt", settings.certs_dir / "ca.key", clock)


def _app(
    settings: ControlPlaneSettings, engine: ControlPlane, enroller: Enroller, telemetry: PrometheusTelemetry
) -> ASGIApp:
    hosts = (settings.http_addr.host, *settings.http_host)
    return create_app(engine, enroller, lambda: engine.ready, telemetry.render, hosts)


def _http_server(settings: ControlPlaneSettings, app: ASGIApp) -> HttpServer:
    tls = None
    if settings.http_tls:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(settings.certs_dir / "server.crt", settings.certs_dir / "server.key")
    address = settings.http_addr
    return HttpServer(app, address.host, address.port, tls=tls, allow_remote=settings.http_allow_remote)


class ControlPlaneContainer(containers.DeclarativeContainer):
    """The parts of `taskrun-control-plane`."""

    settings = providers.Dependency(instance_of=ControlPlaneSettings)

    clock = providers.Singleton(SystemClock)
    new_id = providers.Singleton(UuidV7Source)
    store = providers.Selector(settings.provided.store, memory=providers.Singleton(MemoryStore))
    tokens = providers.Selector(settings.provided.store, memory=providers.Singleton(MemoryTokenStore))
    telemetry = providers.Singleton(PrometheusTelemetry, store.provided.backlog, clock.provided.now)

    engine = providers.Singleton(ControlPlane, store, clock, new_id, telemetry, settings.provided.timers)
    authority = providers.Singleton(_authority, settings, clock)
    enroller = providers.Singleton(Enroller, authority, tokens, clock, new_id)

    tls = providers.Singleton(_server_tls, settings)
    address = providers.Callable(str, settings.provided.grpc_addr)
    identify = providers.Object(parse_peer)
    grpc_server = providers.Singleton(GrpcServer, address, tls, identify, engine, engine, engine, enroller)
    app = providers.Singleton(_app, settings, engine, enroller, telemetry)
    http_server = providers.Singleton(_http_server, settings, app)


def _client_tls(settings: WorkerSettings) -> ClientTls:
    pair = load_key_pair(settings.cert_path, settings.key_path)
    return ClientTls(read_public(settings.ca_path), pair.certificate_pem, pair.key_pem)


def _agents(settings: WorkerSettings, work_dir: Path) -> Sequence[Agent]:
    """One of the configuration stands in for a built-in one of its name."""
    definitions: dict[str, AgentDefinition] = {agent.name: agent for agent in (*BUILT_IN, *settings.agents)}
    return [
        make_agent(definition, work_dir=work_dir, environ=os.environ, stop_grace=settings.stop_grace)
        for definition in definitions.values()
    ]


def _info(settings: WorkerSettings) -> WorkerInfo:
    """The agents are filled in by the daemon."""
    labels = {**settings.labels, CONTAINMENT_LABEL: containment()}
    return WorkerInfo(socket.gethostname(), __version__, (), labels)


class WorkerContainer(containers.DeclarativeContainer):
    """The parts of `taskrun-worker`."""

    settings = providers.Dependency(instance_of=WorkerSettings)
    #: Where runs get their directories.
    work_dir = providers.Dependency(instance_of=Path)

    clock = providers.Singleton(SystemClock)
    chance = providers.Object(random.SystemRandom().random)
    tls = providers.Singleton(_client_tls, settings)
    connector = providers.Singleton(GrpcConnector, settings.provided.addr, tls)
    agents = providers.Singleton(_agents, settings, work_dir)
    info = providers.Singleton(_info, settings)
    daemon = providers.Singleton(
        Daemon,
        connector,
        agents,
        info,
        clock,
        settings.provided.timers,
        settings.provided.max_concurrent_runs,
        chance,
    )
