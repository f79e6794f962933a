"""Where others find this control plane. What it listens on may be every address of the machine, or another's port."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address

from taskrun.apps.kinds import HostPort


@dataclass(slots=True)
class Advertised:
    """The control plane's addresses, in answer to somebody. The ports are known for sure when the servers are up."""

    #: For gRPC, from the settings; "" if they name none.
    named: str
    grpc: HostPort
    http: HostPort
    http_tls: bool

    def grpc_addr(self, asked: str) -> str:
        """Where gRPC is for a worker who asked over HTTP for the host `asked` (a name or an address, no brackets).

        The address that the settings name; else the one that gRPC listens on. Where that is every address of the
        machine, or he came from elsewhere by another one, it is the host he asked for: that has led him here.
        """
        return self.named or f"https://{HostPort(self._grpc_host(asked), self.grpc.port)}"

    def enroll_url(self) -> str:
        """Where workers enrol. A host of all zeros is every address of this machine: whoever is told knows one."""
        return f"{'https' if self.http_tls else 'http'}://{self.http}"

    def _grpc_host(self, asked: str) -> str:
        own = self.grpc.host
        if is_loopback(own):
            return own
        if is_loopback(asked):
            # He is on this machine, and the server's certificate always holds this name.
            return "localhost" if is_every_address(own) else own
        return asked


def is_loopback(host: str) -> bool:
    """Whether only this machine gets there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_every_address(host: str) -> bool:
    """Whether it stands for all addresses of a machine."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
