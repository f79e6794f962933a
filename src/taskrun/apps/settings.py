"""Every setting of the control plane and of the worker. `docs/configuration.md` shows the same tables."""

# ruff: noqa: RUF009  # `setting` makes a dataclass field, as `field` does
from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from taskrun.adapters.agents.definition import AgentDefinition
from taskrun.adapters.agents.sessions.shelf import Keeping
from taskrun.adapters.grpc.address import parse_address, parse_addresses, split_addresses
from taskrun.adapters.http.exposure import is_local, refuse_exposed
from taskrun.adapters.telemetry.logs import FORMATS, LEVELS
from taskrun.apps.agent_tables import read_agents
from taskrun.apps.configuration import setting
from taskrun.apps.kinds import (
    ADDRESS,
    DELAY,
    DURATION,
    HOSTS,
    LABELS,
    PATH,
    SIZE,
    STORE,
    SWITCH,
    TEXT,
    URL,
    HostPort,
    StorePlace,
    ValueKind,
    one_of,
    whole_number,
)
from taskrun.apps.limit_tables import read_limits
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import Role
from taskrun.domain.limits import MAX_CONCURRENT_RUNS
from taskrun.domain.protocol import DEFAULT_MAX_CONCURRENT_RUNS
from taskrun.domain.quotas import MAX_AGEING, Limit, Policy
from taskrun.domain.records import NO_LABELS, Labels
from taskrun.domain.timers import MAX_STOP_GRACE, ControlPlaneTimers, DaemonTimers
from taskrun.ports.peers import LEASE

#: The database's name in the data directory.
DATABASE = "taskrun.db"

#: Labels that a worker tells of itself begin with this.
OWN_LABELS = "taskrun."
#: Where a control plane on this machine is found, unless it was told otherwise.
DEFAULT_ADDR = "https://[::1]:50051"

#: Seconds. Certificates tell the time in whole ones, and one that is always about to be renewed is of no use.
MIN_CERT_LIFE, MAX_CERT_LIFE = 2, 365 * 86_400

_PLANE, _DAEMON, _KEEPING = ControlPlaneTimers(), DaemonTimers(), Keeping()


def _grpc_url(raw: Any) -> str:
    url: str = TEXT.read(raw)
    parse_address(url)
    return url


def _grpc_urls(raw: Any) -> tuple[str, ...]:
    urls = split_addresses(raw if isinstance(raw, str) else map(TEXT.read, raw))
    parse_addresses(urls)
    return urls


def _worker_labels(raw: Any) -> Labels:
    labels: Labels = LABELS.read(raw)
    for key in labels:
        if key.startswith(OWN_LABELS):
            raise InvalidArgument(f"{key!a} is not yours to set: a worker tells the labels under {OWN_LABELS} itself.")
    return labels


def _fair_by(raw: Any) -> str:
    if raw != "none":
        Policy(fair_by=TEXT.read(raw))
    return str(raw)


_FAIR_BY = ValueKind("KEY", "client, agent, label:KEY or none", _fair_by)
_LIMITS = ValueKind("", "a list of tables, each `[[limits]]`", read_limits)
_GRPC_URL = ValueKind("URL", "an address", _grpc_url)
_GRPC_URLS = ValueKind("URL", "addresses, each https://host:port", _grpc_urls, many=True)
_AGENTS = ValueKind("", "a list of tables, each `[[agents]]`", read_agents)
_WORKER_LABELS = replace(LABELS, read=_worker_labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlPlaneSettings:
    """What `taskrun-control-plane` can be told. Durations are in seconds."""

    grpc_addr: HostPort = setting(HostPort("::1", 50051), "Where gRPC listens, with mutual TLS. Port 0: any.", ADDRESS)
    http_addr: HostPort = setting(HostPort("::1", 50052), "Where HTTP listens. Port 0: any.", ADDRESS)
    advertise_addr: str = setting("", "Where workers that enrol find gRPC, if not where it seems.", _GRPC_URL)
    http_tls: bool = setting(False, "Serve HTTP over TLS, with the server's certificate.", SWITCH)
    http_keys: bool = setting(False, "Ask for API keys on this machine too, as everywhere beyond it.", SWITCH)
    http_unsafe_no_tls: bool = setting(False, "Let HTTP without TLS listen beyond this machine.", SWITCH)
    http_unsafe_no_keys: bool = setting(
        False, "Let everybody who reaches HTTP read what it shows, from beyond this machine too.", SWITCH
    )
    http_host: tuple[str, ...] = setting((), "A name, beside loopback's, under which HTTP may be asked.", HOSTS)
    certs_dir: Path = setting(Path("certs"), "Where ca.crt, ca.key, server.crt and server.key are.", PATH)
    data_dir: Path = setting(Path("data"), "Where the database is, unless --store says more.", PATH)
    store: StorePlace = setting(
        StorePlace("sqlite"),
        "Where tasks are kept: sqlite[:PATH], postgresql://..., or memory, which forgets them.",
        STORE,
    )
    retention_age: float = setting(7 * 86_400.0, "Finished tasks are removed after this; 0 keeps them.", DELAY)
    retention_size: int = setting(
        10 * 2**30, "The oldest are removed while the store takes more than these bytes; 0 is no limit.", SIZE
    )
    worker_cert_life: float = setting(
        7 * 86_400.0, "How long a worker's certificate is good for; the worker renews it at half of that.", DURATION
    )
    silence_timeout: float = setting(_PLANE.silence, "A worker that says nothing for this long is cut off.", DURATION)
    worker_grace: float = setting(_PLANE.grace, "A worker that stays away for this long is lost, with its runs.", DELAY)
    start_timeout: float = setting(_PLANE.start, "A run that its worker has not begun by then is taken back.", DURATION)
    stop_timeout: float = setting(
        _PLANE.stop,
        "A run that is to stop is ended when it is this late to say how long that takes, or to end.",
        DURATION,
    )
    retry_delay: float = setting(_PLANE.retry, "From a second failure to the next attempt; it doubles.", DELAY)
    retry_delay_max: float = setting(_PLANE.retry_max, "And never is longer than this.", DURATION)
    poison_window: float = setting(
        _PLANE.poison, "A task whose workers are lost twice this soon is poison; 0: none is.", DELAY
    )
    lease: float = setting(
        LEASE, "On PostgreSQL: others take over from a control plane that is silent for this long.", DURATION
    )
    log_format: str = setting("auto", "auto is text on a terminal, JSON elsewhere.", one_of(*FORMATS))
    log_level: str = setting("INFO", "The least level that is logged.", one_of(*LEVELS, metavar="LEVEL"))
    fair_by: str = setting("client", "Between whom slots are shared: client, agent, label:KEY, or none.", _FAIR_BY)
    priority_ageing: float = setting(
        60.0, "A step of priority is worth this much waiting, in whole seconds; 0: no waiting makes up for it.", DELAY
    )
    limits: tuple[Limit, ...] = setting((), "How much may wait, run and come a minute, and whose.", _LIMITS, flag="")

    def __post_init__(self) -> None:
        if self.priority_ageing % 1 or self.priority_ageing > MAX_AGEING:
            raise InvalidArgument("--priority-ageing must be whole seconds, and at most ten years.")
        if self.grpc_addr == self.http_addr and self.grpc_addr.port:
            raise InvalidArgument(f"gRPC and HTTP cannot both listen on {self.grpc_addr}: give one another port.")
        if not MIN_CERT_LIFE <= self.worker_cert_life <= MAX_CERT_LIFE or self.worker_cert_life % 1:
            raise InvalidArgument("--worker-cert-life must be 2 seconds to a year, in whole seconds.")
        if not (self.http_tls or self.http_unsafe_no_tls):
            refuse_exposed(self.http_addr.host, str(self.http_addr))
        if self.http_keys and self.http_unsafe_no_keys:
            raise InvalidArgument("Give --http-keys or --http-unsafe-no-keys, not both.")

    @property
    def http_stranger(self) -> Role:
        """Who one is that shows HTTP no API key: a reader on this machine alone, nobody where others can come."""
        asks = self.http_keys or not is_local(self.http_addr.host)
        return Role.NOBODY if asks and not self.http_unsafe_no_keys else Role.READ

    @property
    def database_path(self) -> Path:
        """Where the SQLite database is, or would be."""
        return self.store.path or self.data_dir / DATABASE

    @property
    def policy(self) -> Policy:
        """The limits, as the engine takes them."""
        return Policy(self.limits, "" if self.fair_by == "none" else self.fair_by, round(self.priority_ageing))

    @property
    def timers(self) -> ControlPlaneTimers:
        """The timers, as the engine takes them."""
        return ControlPlaneTimers(
            silence=self.silence_timeout,
            grace=self.worker_grace,
            start=self.start_timeout,
            stop=self.stop_timeout,
            retry=self.retry_delay,
            retry_max=self.retry_delay_max,
            poison=self.poison_window,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """What `taskrun-worker` can be told. Durations are in seconds."""

    addr: tuple[str, ...] = setting(
        (),
        f"A control plane's gRPC address, or several's; else what enrolment was told, else {DEFAULT_ADDR}.",
        _GRPC_URLS,
    )
    certs_dir: Path = setting(Path("certs"), "Where ca.crt, worker.crt and worker.key are, or are put.", PATH)
    # The command line has TASKRUN_CERT and the like for the person who types: a worker must not take those for its own.
    ca_cert: Path | None = setting(
        None, "The control plane's CA, if it is not in the certs-dir.", PATH, variable="WORKER_CA_CERT"
    )
    cert: Path | None = setting(
        None, "The worker's certificate, if it is not in the certs-dir.", PATH, variable="WORKER_CERT"
    )
    key: Path | None = setting(None, "The worker's key, if it is not in the certs-dir.", PATH, variable="WORKER_KEY")
    enroll: str = setting("", "Enrol first, at this HTTP address of the control plane.", URL)
    enroll_ca_cert: Path | None = setting(None, "What https enrolment trusts, in place of the system's CAs.", PATH)
    enroll_insecure: bool = setting(False, "Enrol over plain http even beyond this machine.", SWITCH)
    token: str = setting(
        "", "The bootstrap token. The variable or a file keeps it from other users.", TEXT, secret=True
    )
    token_file: Path | None = setting(None, "A file that holds the bootstrap token.", PATH)
    labels: Labels = setting(NO_LABELS, "A label that tasks can select this worker by.", _WORKER_LABELS, flag="--label")
    max_concurrent_runs: int = setting(
        DEFAULT_MAX_CONCURRENT_RUNS, "Runs at once; one more is refused.", whole_number(1, MAX_CONCURRENT_RUNS)
    )
    work_dir: Path | None = setting(
        None, "Where runs get their directories and sessions are kept; without, a temporary one.", PATH
    )
    keep_sessions: float = setting(
        _KEEPING.seconds, "A session that has had no run for this long is deleted; 0 keeps none.", DELAY
    )
    keep_sessions_count: int = setting(
        _KEEPING.count, "The least recently used are deleted while there are more.", whole_number(1, 100_000)
    )
    keep_sessions_size: int = setting(
        _KEEPING.size, "And while all together take more than these bytes; 0 is no limit.", SIZE
    )
    drain_timeout: float = setting(_DAEMON.drain, "A drain that lasts longer stops the runs left.", DELAY)
    stop_grace: float = setting(
        _DAEMON.stop_grace, "From SIGTERM to SIGKILL, for a stopped run; 5 minutes at most.", DELAY
    )
    heartbeat: float = setting(_DAEMON.heartbeat, "Time between heartbeats.", DURATION)
    reconnect: float = setting(_DAEMON.reconnect, "The first reconnect comes within this, at random.", DURATION)
    reconnect_max: float = setting(_DAEMON.reconnect_max, "Later reconnects come within this, at random.", DURATION)
    resume_timeout: float = setting(_DAEMON.resume, "Away for this long, the worker stops its runs.", DURATION)
    log_format: str = setting("auto", "auto is text on a terminal, JSON elsewhere.", one_of(*FORMATS))
    log_level: str = setting("INFO", "The least level that is logged.", one_of(*LEVELS, metavar="LEVEL"))
    agents: tuple[AgentDefinition, ...] = setting(
        (), "Agents beside, or in place of, the built-in ones.", _AGENTS, flag=""
    )

    def __post_init__(self) -> None:
        if self.stop_grace > MAX_STOP_GRACE:
            raise InvalidArgument(f"--stop-grace must be at most {MAX_STOP_GRACE:g} seconds.")
        if self.token and self.token_file:
            raise InvalidArgument("Give --token or --token-file, not both.")
        if bool(self.enroll) != bool(self.token or self.token_file):
            raise InvalidArgument("To enrol, give both --enroll and a token (--token, TASKRUN_TOKEN or --token-file).")
        if self.enroll and (self.ca_cert or self.cert or self.key):
            raise InvalidArgument("Enrolling fills the certs-dir: give --enroll, or --ca-cert, --cert and --key.")

    @property
    def timers(self) -> DaemonTimers:
        """The timers, as the daemon takes them."""
        return DaemonTimers(
            heartbeat=self.heartbeat,
            reconnect=self.reconnect,
            reconnect_max=self.reconnect_max,
            resume=self.resume_timeout,
            drain=self.drain_timeout,
            stop_grace=self.stop_grace,
        )

    @property
    def keeping(self) -> Keeping:
        """How sessions are kept, as the shelf takes it."""
        return Keeping(self.keep_sessions, self.keep_sessions_count, self.keep_sessions_size)

    @property
    def ca_path(self) -> Path:
        """Where the CA certificate is."""
        return self.ca_cert or self.certs_dir / "ca.crt"

    @property
    def cert_path(self) -> Path:
        """Where the worker's certificate is."""
        return self.cert or self.certs_dir / "worker.crt"

    @property
    def key_path(self) -> Path:
        """Where the worker's key is."""
        return self.key or self.certs_dir / "worker.key"
