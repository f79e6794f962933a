"""Through which proxy a host is reached, by the variables that everybody uses for it.

There is no standard; curl, Go and Python agree on this much. A name in NO_PROXY stands for itself and all below it.
"""

from __future__ import annotations

from collections.abc import Mapping


def proxy_for(scheme: str, host: str, variables: Mapping[str, str]) -> str | None:
    """The proxy's URL; None if the host is reached directly."""
    if _is_excepted(host, _variable("no_proxy", variables)):
        return None
    return _variable(f"{scheme}_proxy", variables) or _variable("all_proxy", variables) or None


def _is_excepted(host: str, exceptions: str) -> bool:
    names = (name.strip().lower().lstrip(".") for name in exceptions.split(","))
    return any(name == "*" or host == name or host.endswith(f".{name}") for name in names if name)


def _variable(name: str, variables: Mapping[str, str]) -> str:
    return variables.get(name) or variables.get(name.upper(), "")
