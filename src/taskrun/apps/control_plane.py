"""`taskrun-control-plane`: gRPC and HTTP around one engine."""

from __future__ import annotations

import asyncio
import faulthandler
import resource
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial

from loguru import logger

from taskrun.adapters.ca.files import load_server_pair
from taskrun.adapters.system.clock import SystemClock
from taskrun.adapters.telemetry.logs import configure
from taskrun.apps.advice import advising
from taskrun.apps.control_plane_parts import ControlPlaneContainer, authority_of
from taskrun.apps.exits import run
from taskrun.apps.garbage import collect_rarely
from taskrun.apps.process import begin, ctrl_c_raises
from taskrun.apps.program import CODES, Again, program
from taskrun.apps.racing import first_of
from taskrun.apps.reloading import reload
from taskrun.apps.server_certificate import server_files
from taskrun.apps.settings import ControlPlaneSettings
from taskrun.apps.signals import ignore_stops, on_hangup, on_stop

NAME = "taskrun-control-plane"
#: Seconds for calls under way, after the streams of workers and watchers were ended.
STOP_GRACE = 2.0


def check(settings: ControlPlaneSettings) -> None:
    """Reads the certificates and keys, and opens nothing. Raises `FailedPrecondition`, which names the file, if one is
    missing, open to others, or none that workers and clients would accept."""
    with advising("taskrun init makes it, or name its directory by --certs-dir"):
        load_server_pair(*server_files(settings.certs_dir))
        authority_of(settings, SystemClock())


async def serve(settings: ControlPlaneSettings, again: Again[ControlPlaneSettings] = None) -> None:
    """Runs a control plane until SIGTERM or SIGINT. Raises `TaskRunError` if it cannot start.

    The certificates are read before the store is touched, and the store is locked before a port is taken: a second
    control plane on one database ends with a word about that. Until the engine is up the control plane answers that it
    is not ready. On SIGHUP the settings are read `again`, for the limits in them. It stops in the opposite order,
    health last.
    """
    check(settings)
    parts = ControlPlaneContainer(settings=settings)
    stopped = asyncio.Event()
    on_stop(stopped.set)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(parts.store().close)
        engine, grpc_server, http_server = parts.engine(), parts.grpc_server(), parts.http_server()
        if again is not None:
            # From here on: whoever changes the limits does not know how far the start is.
            on_hangup(partial(reload, again, engine.rule))
        gate, register, certificate = parts.gate(), parts.register(), parts.server_certificate()
        # Before anybody can come: what was revoked is known.
        stack.push_async_callback(gate.stop)
        await gate.start()
        stack.push_async_callback(register.stop)
        register.start()
        certificate.start()
        stack.push_async_callback(certificate.stop)
        stack.push_async_callback(http_server.stop)
        http_addr = replace(settings.http_addr, port=await http_server.start())
        stack.push_async_callback(grpc_server.stop, STOP_GRACE)
        grpc_addr = replace(settings.grpc_addr, port=await grpc_server.start())
        advertised = parts.advertised()
        advertised.grpc, advertised.http = grpc_addr, http_addr
        stack.push_async_callback(engine.stop)
        recovery = await engine.start()
        parts.telemetry().seed(recovery.counts)
        parts.pruner().start()
        stack.push_async_callback(parts.pruner().stop)
        collect_rarely()
        logger.info("ready", grpc_addr=str(grpc_addr), http_addr=str(http_addr), store=str(settings.store))
        await first_of(stopped.wait(), http_server.ended(), grpc_server.ended())
        logger.info("stopping")
        await engine.drain()
        await grpc_server.drain()
    ignore_stops()
    logger.info("stopped")


def _use_all_files() -> None:
    """Every worker is an open file. The soft limit, usually 1024, only protects programs that use `select`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _do(settings: ControlPlaneSettings, again: Again[ControlPlaneSettings]) -> None:
    _use_all_files()
    configure(settings.log_format, settings.log_level)
    with ctrl_c_raises():
        asyncio.run(serve(settings, again))


command = program(
    ControlPlaneSettings,
    _do,
    check,
    NAME,
    """Takes tasks, gives them to workers, and keeps what comes of them.

    SIGTERM stops it within 10 seconds. A setting counts in the order flag, variable, --config file, default.""",
)


def main() -> None:
    """The program. SIGABRT ends it with its stacks on standard error, for the case that it hangs."""
    begin()
    faulthandler.enable()
    sys.exit(run(command, NAME, CODES))


if __name__ == "__main__":
    main()
