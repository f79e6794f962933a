"""What a host is called. Standard library only, for programs that check their settings."""

from __future__ import annotations

import re
from ipaddress import ip_address

_DNS_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_DNS_NAME = re.compile(rf"(?=.{{1,253}}$){_DNS_LABEL}(\.{_DNS_LABEL})*", re.IGNORECASE)


def is_dns_name(text: str) -> bool:
    """Whether it is a DNS name. One whose last label is a number would be taken for a (malformed) address."""
    return bool(_DNS_NAME.fullmatch(text)) and not text.rpartition(".")[2].isdigit()


def is_host(text: str) -> bool:
    """Whether it is a DNS name or an IP address, without brackets."""
    try:
        ip_address(text)
    except ValueError:
        return is_dns_name(text)
    return True
