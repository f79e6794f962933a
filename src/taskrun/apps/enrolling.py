"""A worker gets its identity: the HTTP client and the key work, put together."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

from taskrun.adapters.ca.disk import Replacement, read_public
from taskrun.adapters.ca.enroll_keys import checked_enrollment, fingerprint_of, new_key_and_csr
from taskrun.adapters.http.enroll_client import request_enrollment
from taskrun.domain import tokens
from taskrun.domain.errors import FailedPrecondition


async def enroll(
    url: str, token: str, directory: Path, *, ca_cert: Path | None = None, insecure: bool = False, timeout: float = 30.0
) -> str:
    """Spends the token for a certificate and returns the worker's id.

    Puts `worker.key` (0600), `worker.crt` and `ca.crt` into `directory`, in place of an older identity of the same
    control plane's. `url`, `ca_cert`, `insecure` and `timeout` as `taskrun.adapters.http.enroll_client.post` has them.

    Raises `InvalidArgument`, `Unauthenticated`, `ResourceExhausted`, `FailedPrecondition`, `ProtocolViolation` or
    `Unavailable`, each with a sentence for its reader; then the directory's files are as they were.
    """
    return await asyncio.to_thread(_enroll, url, token, directory, ca_cert, insecure, timeout)


def _enroll(url: str, token: str, directory: Path, ca_cert: Path | None, insecure: bool, timeout: float) -> str:
    _, pin = tokens.split(token)
    _refuse_another_ca(directory / "ca.crt", pin)
    key_pem, csr_pem = new_key_and_csr()
    with Replacement(directory) as files:
        # Before the token is spent: a directory that cannot be written must not cost it.
        files.add("worker.key", key_pem)
        answer = request_enrollment(url, token, csr_pem, ca_cert=ca_cert, insecure=insecure, timeout=timeout)
        enrollment = checked_enrollment(answer, pin, key_pem, datetime.now(UTC))
        files.add("worker.crt", enrollment.certificate_pem)
        files.add("ca.crt", enrollment.ca_pem)
        files.commit()
    return enrollment.worker_id


def _refuse_another_ca(path: Path, pin: str) -> None:
    """The directory may be another control plane's, with certificates that need that CA."""
    if path.exists() and fingerprint_of(read_public(path)) != pin:
        raise FailedPrecondition(f"{path} is another control plane's CA: enrol into a directory of its own.")
