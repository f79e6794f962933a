"""Where plain HTTP may listen: on this machine alone, for it has no login and nothing is secret on its way."""

from __future__ import annotations

from ipaddress import ip_address

from taskrun.domain.errors import FailedPrecondition


def refuse_exposed(host: str, where: str) -> None:
    """Raises `FailedPrecondition`, naming `where`, for an IP address that other machines can reach.

    A name passes: what it means is known when it is looked up.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return
    if not address.is_loopback:
        raise FailedPrecondition(
            f"Plain HTTP on {where} would be open to other machines: listen on [::1] or 127.0.0.1, or use TLS."
        )
