"""`taskrun-worker`: runs agents on this machine for a control plane."""

from __future__ import annotations

import asyncio
import faulthandler
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from loguru import logger

from taskrun.adapters.agents.containment.means import LACKING
from taskrun.adapters.ca.files import KeyPair, load_ca
from taskrun.adapters.ca.identity import parse_peer
from taskrun.adapters.ca.pair_files import PairFiles
from taskrun.adapters.telemetry.logs import configure
from taskrun.apps.advice import advising
from taskrun.apps.enrolling import address_in, check_enrolling, enroll, is_enrolled, was_enrolled
from taskrun.apps.exits import run
from taskrun.apps.garbage import collect_rarely
from taskrun.apps.process import begin, ctrl_c_raises
from taskrun.apps.program import CODES, Again, program
from taskrun.apps.settings import DEFAULT_ADDR, WorkerSettings
from taskrun.apps.signals import ignore_stops, on_stop
from taskrun.apps.work_dir import temporary_work_dir
from taskrun.apps.worker_parts import CONTAINMENT_LABEL, WorkerContainer
from taskrun.domain.errors import FailedPrecondition, InvalidArgument
from taskrun.domain.identity import Role

NAME = "taskrun-worker"


def check(settings: WorkerSettings) -> None:
    """Reads the files that a start would, up to where it would ask somebody. Raises `FailedPrecondition` or
    `InvalidArgument`, naming the file, if one is missing, open to others, or none of a worker's."""
    token = _unspent(settings) if settings.enroll else None
    if token is None:
        _identified(settings, _pair_files(settings).look)
        return
    check_enrolling(
        settings.enroll,
        token,
        settings.certs_dir,
        ca_cert=settings.enroll_ca_cert,
        insecure=settings.enroll_insecure,
    )


async def work(settings: WorkerSettings) -> None:
    """Runs a worker until it has drained. Raises `TaskRunError` if it cannot start or is refused for good."""
    if settings.enroll:
        await _enroll(settings)
    worker_id = _identified(settings, _pair_files(settings).load)
    with _work_dir(settings) as work_dir, logger.contextualize(worker_id=worker_id):
        addrs = settings.addr or (address_in(settings.certs_dir) or DEFAULT_ADDR,)
        parts = WorkerContainer(settings=settings, addrs=addrs, work_dir=work_dir)
        await parts.workshop().sessions.tidy()
        daemon, info = parts.daemon(), parts.info()
        on_stop(daemon.drain, daemon.cancel_runs)
        means = info.labels[CONTAINMENT_LABEL]
        agents = [agent.spec.name for agent in parts.agents()]
        logger.info("working for {}", ", ".join(addrs), agents=agents, containment=means)
        for remark in _remarks(settings, means):
            logger.warning("{}", remark)
        collect_rarely()
        keeper = parts.keeper()
        keeper.start()
        try:
            await daemon.run()
        finally:
            await keeper.stop()
        ignore_stops()
        logger.info("stopped")


def _remarks(settings: WorkerSettings, means: str) -> Iterator[str]:
    """What this worker's owner may take for granted, and does not have."""
    if LACKING[means]:
        yield LACKING[means]
    for agent in settings.agents:
        yield from agent.remarks()


async def _enroll(settings: WorkerSettings) -> None:
    """Gets this worker its certificate.

    A worker that is started again in the same way, by a service manager for one, has used up its token: it goes on with
    what that token gave it, even if nobody could answer just now, or somebody has tidied the token's file away.
    """
    token = _unspent(settings)
    if token is None:
        logger.info("enrolled already, going on with the certificate that is here")
        return
    worker_id = await enroll(
        settings.enroll,
        token,
        settings.certs_dir,
        ca_cert=settings.enroll_ca_cert,
        insecure=settings.enroll_insecure,
    )
    logger.info("enrolled", worker_id=worker_id)


def _pair_files(settings: WorkerSettings) -> PairFiles:
    return PairFiles(settings.cert_path, settings.key_path)


def _identified(settings: WorkerSettings, load: Callable[[], KeyPair]) -> str:
    """Who this worker is, if all its files are there and good."""
    with advising("enrol with --enroll and a token, or name it by --certs-dir, --ca-cert, --cert or --key"):
        worker_id = _own_id(settings, load())
        load_ca(settings.ca_path)
    return worker_id


def _own_id(settings: WorkerSettings, pair: KeyPair) -> str:
    """Who the certificate says that this worker is. A client's is refused here: the control plane would do no other."""
    identity = parse_peer(pair.certificate_pem)
    if identity.role is not Role.WORKER:
        raise FailedPrecondition(
            f"{settings.cert_path} is the certificate of {identity.owner}: a worker needs its own."
        )
    return identity.name


def _unspent(settings: WorkerSettings) -> str | None:
    """The token to enrol with; None if the worker has what it got for it."""
    token = _token(settings)
    return None if token is None or is_enrolled(token, settings.certs_dir) else token


def _token(settings: WorkerSettings) -> str | None:
    """None if its file is gone, and the worker has what it got for it."""
    path = settings.token_file
    if path is None:
        return settings.token
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and was_enrolled(settings.certs_dir):
            return None
        raise InvalidArgument(f"The token file {path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"The token file {path} holds no token.") from error


@contextmanager
def _work_dir(settings: WorkerSettings) -> Iterator[Path]:
    """Where runs get their directories: for the worker's user alone."""
    if settings.work_dir is None:
        with temporary_work_dir() as directory:
            yield directory
        return
    try:
        settings.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise FailedPrecondition(f"{settings.work_dir} cannot be made: {error.strerror or error}.") from error
    yield settings.work_dir.absolute()


def _do(settings: WorkerSettings, again: Again[WorkerSettings]) -> None:
    configure(settings.log_format, settings.log_level)
    with ctrl_c_raises():
        asyncio.run(work(settings))


command = program(
    WorkerSettings,
    _do,
    check,
    NAME,
    """Runs agents on this machine for a control plane.

    The first SIGTERM drains: no new runs, and an end when those under way are over. The second one stops them.
    A setting counts in the order flag, variable, --config file, default; agents are defined in the file.""",
)


def main() -> None:
    """The program. SIGABRT ends it with its stacks on standard error, for the case that it hangs."""
    begin()
    faulthandler.enable()
    sys.exit(run(command, NAME, CODES))


if __name__ == "__main__":
    main()
