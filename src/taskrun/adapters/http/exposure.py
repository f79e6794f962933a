"""Where HTTP may listen without TLS, and to whom it may answer without a key: on this machine alone."""

from __future__ import annotations

from ipaddress import ip_address

from taskrun.domain.errors import FailedPrecondition


def refuse_exposed(host: str, where: str) -> None:
    """Raises `FailedPrecondition`, naming `where`, for an IP address that other machines can reach.

    A name passes: what it means is known when it is looked up.
    """
    if _is_address(host) and not is_local(host):
        raise FailedPrecondition(
            f"Plain HTTP on {where} would be open to other machines: listen on [::1] or 127.0.0.1, or use TLS."
        )


def is_local(host: str) -> bool:
    """Whether only this machine can come to this address, or to this name whatever it means."""
    if not _is_address(host):
        return host.lower() == "localhost"
    return ip_address(host.partition("%")[0]).is_loopback


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
