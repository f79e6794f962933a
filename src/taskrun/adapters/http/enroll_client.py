"""The worker's side of `POST /v1/enroll`. It blocks: call it in a thread. What comes back is yet to be distrusted."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPSConnection, IncompleteRead
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import msgspec

from taskrun.domain.errors import (
    FailedPrecondition,
    InvalidArgument,
    ProtocolViolation,
    ResourceExhausted,
    TaskRunError,
    Unauthenticated,
    Unavailable,
)
from taskrun.ports.enrollment import Enrollment

PATH = "/v1/enroll"
#: Far above any real answer: two certificates.
MAX_ANSWER_BYTES = 64 * 1024

_REFUSALS: dict[int, tuple[type[TaskRunError], str]] = {
    400: (InvalidArgument, "The control plane refused the certificate request; the token is still good."),
    401: (Unauthenticated, "The bootstrap token is unknown, expired or already used: make a new one."),
    413: (InvalidArgument, "The control plane found the request too large; the token is still good."),
}
#: What OpenSSL (x509_vfy.h) calls a chain that leads to nobody it trusts: DEPTH_ZERO_SELF_SIGNED_CERT,
#: SELF_SIGNED_CERT_IN_CHAIN, UNABLE_TO_GET_ISSUER_CERT_LOCALLY, UNABLE_TO_VERIFY_LEAF_SIGNATURE.
_STRANGERS = frozenset({18, 19, 20, 21})
#: What OpenSSL says of an answer that is no TLS; which of them depends on its version.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})


class AnswerLost(Unavailable):
    """The request may have been carried out, but its answer did not come through."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a server said. `retry_after` is its header of that name, "" without."""

    status: int
    body: bytes
    retry_after: str = ""


class _EnrollmentBody(msgspec.Struct):
    worker_id: str
    certificate_pem: str
    ca_pem: str
    grpc_addr: str = ""


def request_enrollment(
    url: str, token: str, csr_pem: bytes, *, ca_cert: Path | None = None, insecure: bool = False, timeout: float = 30.0
) -> Enrollment:
    """Asks the control plane at `url` (its HTTP address) for a certificate; arguments and errors as `post`.

    The answer is unchecked. Each refusal raises its own: `Unauthenticated` for the token, `InvalidArgument` for the
    request, `ResourceExhausted` when asked to come later, `ProtocolViolation` for anything that is no enrolment.
    After `AnswerLost` the same request with the same token may be made again: it gets the same answer.
    """
    body = msgspec.json.encode({"token": token, "csr_pem": csr_pem.decode()})
    answer = post(url, body, ca_cert=ca_cert, insecure=insecure, timeout=timeout)
    if answer.status != 200:
        raise _refusal(answer)
    try:
        enrolled = msgspec.json.decode(answer.body, type=_EnrollmentBody)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ProtocolViolation("The answer is no enrolment: is this the control plane's HTTP address?") from error
    pems = (enrolled.certificate_pem.encode(), enrolled.ca_pem.encode())
    return Enrollment(enrolled.worker_id, *pems, enrolled.grpc_addr)


def post(
    url: str, body: bytes, *, ca_cert: Path | None = None, insecure: bool = False, timeout: float = 30.0
) -> HttpAnswer:
    """Posts JSON to `/v1/enroll` below `url` and returns what comes, whatever its status. Follows no redirect, uses no
    proxy: the token goes where the operator said. Waits at most `timeout` seconds for each step.

    https is verified against the system's roots, or `ca_cert` if given. Plain http shows the token to everybody on the
    way: unless `insecure`, it is refused beyond this machine. Raises `InvalidArgument` for such a URL, `Unavailable`
    when nobody is there and `AnswerLost` when somebody was but did not answer to the end.
    """
    target = _target(url, insecure)
    connection = _connection(target, ca_cert, timeout)
    try:
        connection.connect()
        return _exchange(connection, target, body)
    except ssl.SSLError as error:
        raise Unavailable(f"No trusted connection to {_origin(target)}: {_distrust(error)}.") from error
    except OSError as error:
        raise Unavailable(f"Cannot reach the control plane at {_origin(target)}: {_reason(error)}.") from error
    finally:
        connection.close()


def check_target(url: str, *, ca_cert: Path | None = None, insecure: bool = False) -> None:
    """Raises what `post` would before it asks anybody: `InvalidArgument` for the URL, `FailedPrecondition` for
    `ca_cert`."""
    _connection(_target(url, insecure), ca_cert, timeout=0)


def _exchange(connection: HTTPConnection, target: SplitResult, body: bytes) -> HttpAnswer:
    """From here on the request may arrive, whatever becomes of the connection."""
    try:
        connection.request("POST", _path(target), body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        announced = min(response.length or 0, MAX_ANSWER_BYTES + 1)
        content = response.read(MAX_ANSWER_BYTES + 1)
        if len(content) < announced:
            raise IncompleteRead(content, announced - len(content))
        return HttpAnswer(response.status, content, response.headers.get("Retry-After", ""))
    except (OSError, HTTPException) as error:
        raise AnswerLost(
            f"No answer from the control plane at {_origin(target)}: {_unheard(error, target)}."
        ) from error


def _unheard(error: OSError | HTTPException, target: SplitResult) -> str:
    # A port with TLS closes a connection that begins without, and says nothing, or nothing in HTTP.
    if target.scheme == "http" and isinstance(error, BadStatusLine | ConnectionResetError):
        return "it hung up; if it has TLS (--http-tls), write https"
    return _reason(error)


def _distrust(error: ssl.SSLError) -> str:
    if error.reason in _NO_TLS:
        return "what listens there does not speak TLS"
    if getattr(error, "verify_code", 0) in _STRANGERS:
        return "its certificate is from no CA that is trusted here; the control plane's own is in its ca.crt"
    return getattr(error, "verify_message", "") or error.reason or "TLS failed"


def _reason(error: OSError | HTTPException) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _target(url: str, insecure: bool) -> SplitResult:
    try:
        target = urlsplit(url)
        target.port  # noqa: B018 - raises for a port that is no number
    except ValueError:
        target = SplitResult("", "", "", "", "")
    extras = target.username or target.password or target.query or target.fragment
    if target.scheme not in ("http", "https") or not target.hostname or extras:
        raise InvalidArgument("The enrolment URL must look like https://host:port.")
    if target.scheme == "http" and not insecure and not _is_this_machine(target.hostname):
        raise InvalidArgument("Plain http would show the bootstrap token to others on the way: use https.")
    return target


def _connection(target: SplitResult, ca_cert: Path | None, timeout: float) -> HTTPConnection:
    host = target.hostname or ""
    if target.scheme == "http":
        return HTTPConnection(host, target.port or 80, timeout=timeout)
    try:
        context = ssl.create_default_context(cafile=ca_cert)
    except ssl.SSLError as error:
        raise FailedPrecondition(f"{ca_cert} holds no certificate that can be read.") from error
    except FileNotFoundError as error:
        raise FailedPrecondition(f"{ca_cert} is missing.") from error
    except OSError as error:
        raise FailedPrecondition(f"{ca_cert} cannot be read: {error.strerror or error}.") from error
    return HTTPSConnection(host, target.port or 443, timeout=timeout, context=context)


def _path(target: SplitResult) -> str:
    return target.path.rstrip("/").removesuffix(PATH) + PATH


def _origin(target: SplitResult) -> str:
    return f"{target.scheme}://{target.netloc}"


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _refusal(answer: HttpAnswer) -> TaskRunError:
    if answer.status == 429:
        wait = f" in {answer.retry_after} s" if answer.retry_after.isdecimal() else " later"
        return ResourceExhausted(f"Too many enrolments: try again{wait}; the token is still good.")
    if answer.status >= 500:
        return Unavailable(f"The control plane cannot enrol workers now (HTTP {answer.status}).")
    if answer.status not in _REFUSALS:
        return ProtocolViolation(f"The answer is HTTP {answer.status}: is this the control plane's HTTP address?")
    kind, sentence = _REFUSALS[answer.status]
    return kind(sentence)
