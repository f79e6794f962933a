"""Who is given what in the control plane: its parts, put together. Nothing is made before it is asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from dependency_injector import containers, providers
from starlette.types import ASGIApp

from taskrun.adapters.ca.authority import FileAuthority
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.ca.ledger import CertificateLedger
from taskrun.adapters.grpc.server import GrpcServer
from taskrun.adapters.http.app import create_app
from taskrun.adapters.http.server import HttpServer
from taskrun.adapters.stores.memory import MemoryStore
from taskrun.adapters.stores.memory_api_keys import MemoryApiKeyStore
from taskrun.adapters.stores.memory_certificates import MemoryCertificateStore
from taskrun.adapters.stores.memory_tokens import MemoryTokenStore
from taskrun.adapters.stores.sqlite.api_keys import SqliteApiKeyStore
from taskrun.adapters.stores.sqlite.certificates import SqliteCertificateStore
from taskrun.adapters.stores.sqlite.database import Database
from taskrun.adapters.stores.sqlite.store import SqliteStore
from taskrun.adapters.stores.sqlite.tokens import SqliteTokenStore
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.system.ids import UuidV7Source
from taskrun.adapters.telemetry.metrics import PrometheusTelemetry
from taskrun.apps.advertising import Advertised
from taskrun.apps.extras import postgres_extra
from taskrun.apps.server_certificate import ServerCertificate
from taskrun.apps.settings import ControlPlaneSettings
from taskrun.engine.certificates import Certificates
from taskrun.engine.control_plane import ControlPlane
from taskrun.engine.enrollment import Enroller
from taskrun.engine.gate import Gate
from taskrun.engine.key_ring import KeyRing
from taskrun.engine.register import Register
from taskrun.engine.retention import Pruner
from taskrun.ports.api_keys import ApiKeyStore
from taskrun.ports.certificates import CertificateStore
from taskrun.ports.enrollment import TokenStore
from taskrun.ports.store import Store


def authority_of(settings: ControlPlaneSettings, clock: SystemClock) -> FileAuthority:
    """The CA that signs for workers. Raises `FailedPrecondition` as `FileAuthority`."""
    certs, lifetime = settings.certs_dir, timedelta(seconds=settings.worker_cert_life)
    return FileAuthority(certs / "ca.crt", certs / "ca.key", clock, lifetime=lifetime)


def _app(
    settings: ControlPlaneSettings,
    engine: ControlPlane,
    enroller: Enroller,
    telemetry: PrometheusTelemetry,
    advertised: Advertised,
    keys: KeyRing,
) -> ASGIApp:
    return create_app(
        engine,
        enroller,
        lambda: engine.ready,
        telemetry.render,
        (settings.http_addr.host, *settings.http_host),
        draining=lambda: engine.draining,
        keys=keys,
        stranger=settings.http_stranger,
        grpc_addr=advertised.grpc_addr,
    )


def _http_server(settings: ControlPlaneSettings, app: ASGIApp, certificate: ServerCertificate) -> HttpServer:
    tls = certificate.http() if settings.http_tls else None
    address = settings.http_addr
    return HttpServer(app, address.host, address.port, tls=tls, allow_remote=settings.http_unsafe_no_tls)


def _postgres(settings: ControlPlaneSettings) -> Any:
    """The PostgreSQL database. Its driver is an extra, loaded only here."""
    with postgres_extra():
        from taskrun.adapters.stores.postgres.database import Database
    return Database(settings.store.url)


def _postgres_store(settings: ControlPlaneSettings, database: Any) -> Store:
    from taskrun.adapters.stores.postgres.store import PostgresStore

    return PostgresStore(database, settings.lease)


def _postgres_api_keys(database: Any) -> ApiKeyStore:
    from taskrun.adapters.stores.postgres.api_keys import PostgresApiKeyStore

    return PostgresApiKeyStore(database)


def _postgres_tokens(database: Any) -> TokenStore:
    from taskrun.adapters.stores.postgres.tokens import PostgresTokenStore

    return PostgresTokenStore(database)


def _postgres_certificates(database: Any) -> CertificateStore:
    from taskrun.adapters.stores.postgres.certificates import PostgresCertificateStore

    return PostgresCertificateStore(database)


class ControlPlaneContainer(containers.DeclarativeContainer):
    """The parts of `taskrun-control-plane`."""

    settings = providers.Dependency(instance_of=ControlPlaneSettings)

    clock = providers.Singleton(SystemClock)
    new_id = providers.Singleton(UuidV7Source)
    database = providers.Singleton(Database, settings.provided.database_path)
    postgres = providers.Singleton(_postgres, settings)
    store = providers.Selector(
        settings.provided.store.kind,
        memory=providers.Singleton(MemoryStore),
        sqlite=providers.Singleton(SqliteStore, database),
        postgresql=providers.Singleton(_postgres_store, settings, postgres),
    )
    memory_certificates = providers.Singleton(MemoryCertificateStore)
    certificate_store = providers.Selector(
        settings.provided.store.kind,
        memory=memory_certificates,
        sqlite=providers.Singleton(SqliteCertificateStore, database),
        postgresql=providers.Singleton(_postgres_certificates, postgres),
    )
    tokens = providers.Selector(
        settings.provided.store.kind,
        memory=providers.Singleton(MemoryTokenStore, memory_certificates),
        sqlite=providers.Singleton(SqliteTokenStore, database),
        postgresql=providers.Singleton(_postgres_tokens, postgres),
    )
    api_keys = providers.Selector(
        settings.provided.store.kind,
        memory=providers.Singleton(MemoryApiKeyStore),
        sqlite=providers.Singleton(SqliteApiKeyStore, database),
        postgresql=providers.Singleton(_postgres_api_keys, postgres),
    )
    telemetry = providers.Singleton(PrometheusTelemetry, store.provided.backlog, clock.provided.now)

    peers = providers.Selector(
        settings.provided.store.kind,
        memory=providers.Object(None),
        sqlite=providers.Object(None),
        postgresql=store.provided.peers,
    )
    engine = providers.Singleton(
        ControlPlane,
        store,
        clock,
        new_id,
        telemetry,
        settings.provided.timers,
        peers,
        settings.provided.lease,
        settings.provided.policy,
    )
    pruner = providers.Singleton(
        Pruner, store, clock, telemetry, settings.provided.retention_age, settings.provided.retention_size
    )
    authority = providers.Singleton(authority_of, settings, clock)
    key_ring = providers.Singleton(KeyRing, api_keys, clock)
    enroller = providers.Singleton(Enroller, authority, tokens, clock, new_id)

    gate = providers.Singleton(Gate, certificate_store, clock, telemetry, engine.provided.expel)
    ledger = providers.Singleton(CertificateLedger, settings.provided.certs_dir)
    register = providers.Singleton(Register, gate, certificate_store, ledger, clock)
    certificates = providers.Singleton(Certificates, authority, certificate_store, clock, gate.provided.learn)

    server_certificate = providers.Singleton(ServerCertificate, settings.provided.certs_dir, clock, telemetry)
    address = providers.Callable(str, settings.provided.grpc_addr)
    identify = providers.Object(parse_peer)
    advertised = providers.Singleton(
        Advertised,
        settings.provided.advertise_addr,
        settings.provided.grpc_addr,
        settings.provided.http_addr,
        settings.provided.http_tls,
    )
    grpc_server = providers.Singleton(
        GrpcServer,
        address,
        server_certificate.provided.tls,
        identify,
        engine,
        engine,
        engine,
        enroller,
        certificates,
        register,
        enroll_url=advertised.provided.enroll_url,
        keys=key_ring,
    )
    app = providers.Singleton(_app, settings, engine, enroller, telemetry, advertised, key_ring)
    http_server = providers.Singleton(_http_server, settings, app, server_certificate)
