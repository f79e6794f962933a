"""A worker gets its identity: the HTTP client and the key work, put together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from loguru import logger

from taskrun.adapters.ca.disk import Replacement, read_public
from taskrun.adapters.ca.enroll_keys import checked_enrollment, fingerprint_of, new_key_and_csr
from taskrun.adapters.ca.pair_files import PairFiles
from taskrun.adapters.grpc.address import parse_address
from taskrun.adapters.http.enroll_client import AnswerLost, check_target, request_enrollment
from taskrun.domain import tokens
from taskrun.domain.errors import FailedPrecondition, InvalidArgument
from taskrun.ports.enrollment import Enrollment

#: Seconds before each further attempt, when an answer was lost.
PAUSES = (0.5, 1.0)

#: Says which token the identity beside it was made for, by the token's digest: that token is used up.
SPENT = "worker.token"
#: Says where the control plane's gRPC is.
ADDRESS = "control-plane.addr"


async def enroll(
    url: str,
    token: str,
    directory: Path,
    *,
    ca_cert: Path | None = None,
    insecure: bool = False,
    timeout: float = 30.0,
    wait: Callable[[float], None] = time.sleep,
) -> str:
    """Spends the token for a certificate and returns the worker's id.

    Puts `worker.key` (0600), `worker.crt`, `ca.crt`, `worker.token` (the token's digest) and the control plane's gRPC
    address, if it is told one, into `directory`, in place of an older identity of the same control plane's. `url`,
    `ca_cert`, `insecure` and `timeout` as `taskrun.adapters.http.enroll_client.post` has them.

    When the answer is lost, the same request is made again, three times in all; `wait` blocks for so many seconds.

    Raises `InvalidArgument`, `Unauthenticated`, `ResourceExhausted`, `FailedPrecondition`, `ProtocolViolation` or
    `Unavailable`, each with a sentence for its reader; then the directory's files are as they were.
    """

    def ask(csr_pem: bytes) -> Enrollment:
        return request_enrollment(url, token, csr_pem, ca_cert=ca_cert, insecure=insecure, timeout=timeout)

    return await asyncio.to_thread(_enroll, ask, token, directory, wait)


def check_enrolling(
    url: str, token: str, directory: Path, *, ca_cert: Path | None = None, insecure: bool = False
) -> None:
    """Raises what `enroll` would before it asks anybody or writes anything."""
    _, pin = tokens.split(token)
    _refuse_another_ca(directory / "ca.crt", pin)
    check_target(url, ca_cert=ca_cert, insecure=insecure)


def is_enrolled(token: str, directory: Path) -> bool:
    """Whether this very token has given the directory its identity, and that is good still. Asks nobody.

    Raises `InvalidArgument` for what is no token.
    """
    secret, pin = tokens.split(token)
    return _given_to(directory) == (tokens.digest(secret).hex(), pin)


def was_enrolled(directory: Path) -> bool:
    """Whether some token has given the directory its identity, and that is good still. Asks nobody."""
    return _given_to(directory) is not None


def _given_to(directory: Path) -> tuple[str, str] | None:
    """The digest of the token that gave the directory its identity, and the CA's fingerprint; None if that identity is
    not good, or no token gave it."""
    try:
        spent = (directory / SPENT).read_text(encoding="ascii").strip()
        PairFiles(directory / "worker.crt", directory / "worker.key").look()
        pin = fingerprint_of(read_public(directory / "ca.crt"))
    except (OSError, UnicodeDecodeError, FailedPrecondition):
        return None
    return (spent, pin) if pin else None


def address_in(directory: Path) -> str:
    """The control plane's gRPC address, as an enrolment into this directory was told it; "" if it was not."""
    try:
        address = (directory / ADDRESS).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""
    return address if _is_address(address) else ""


def _is_address(text: str) -> bool:
    try:
        parse_address(text)
    except InvalidArgument:
        return False
    return text.isascii()


def _enroll(ask: Callable[[bytes], Enrollment], token: str, directory: Path, wait: Callable[[float], None]) -> str:
    secret, pin = tokens.split(token)
    _refuse_another_ca(directory / "ca.crt", pin)
    key_pem, csr_pem = new_key_and_csr()
    with Replacement(directory) as files:
        # Before the token is spent: a directory that cannot be written must not cost it.
        files.add("worker.key", key_pem)
        answer = _answer_to(lambda: ask(csr_pem), wait)
        enrollment = checked_enrollment(answer, pin, key_pem, datetime.now(UTC))
        files.add("worker.crt", enrollment.certificate_pem)
        files.add("ca.crt", enrollment.ca_pem)
        if _is_address(enrollment.grpc_addr):
            files.add(ADDRESS, f"{enrollment.grpc_addr}\n".encode())
        files.add(SPENT, f"{tokens.digest(secret).hex()}\n".encode())
        files.commit()
    return enrollment.worker_id


def _answer_to(ask: Callable[[], Enrollment], wait: Callable[[float], None]) -> Enrollment:
    """A lost answer may have spent the token; to the same request, of the same key, it is given again."""
    for pause in PAUSES:
        try:
            return ask()
        except AnswerLost as lost:
            logger.warning("{} Asking again.", lost.message)
            wait(pause)
    return ask()


def _refuse_another_ca(path: Path, pin: str) -> None:
    """The directory may be another control plane's, with certificates that need that CA."""
    if path.exists() and fingerprint_of(read_public(path)) != pin:
        raise FailedPrecondition(f"{path} is another control plane's CA: enrol into a directory of its own.")
