"""What a setting's value can be, and how each kind is written in a flag, a variable and a TOML file."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from taskrun.adapters.ca.hosts import is_host
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.limits import check_labels


@dataclass(frozen=True, slots=True)
class HostPort:
    """A host (a name or an IP address, without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where tasks are kept: `memory`, `sqlite`, with a path or in the data directory, or `postgresql`, with a URL."""

    kind: str
    path: Path | None = None
    #: It may hold a password: never shown.
    url: str = field(default="", repr=False)

    def __str__(self) -> str:
        return f"{self.kind}:{self.path}" if self.path else self.kind


@dataclass(frozen=True, slots=True)
class ValueKind:
    """What a setting can be.

    `read` takes what a source gives (text, or what TOML has). It raises `ValueError` if that breaks the rule, or
    `InvalidArgument` if there is more to say.
    """

    #: What stands for a value in a usage line; "" is a switch, which takes none.
    metavar: str
    #: Completes the sentence "It must be ...".
    rule: str
    read: Callable[[Any], Any]
    #: The flag may be given several times; a variable holds the values with commas between them.
    many: bool = False


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw:
        raise ValueError
    return raw


def _path(raw: Any) -> Path:
    if "\0" in _text(raw):
        raise ValueError
    try:
        return Path(raw).expanduser()
    # There is no such user.
    except RuntimeError as error:
        raise ValueError from error


_SWITCH = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}


def _switch(raw: Any) -> bool:
    if isinstance(raw, bool):
        return raw
    try:
        return _SWITCH[_text(raw).lower()]
    except KeyError:
        raise ValueError from None


_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%\w]+)\]|(?P<host>[^\[\]:/\s]+)):(?P<port>\d{1,5})")


def _address(raw: Any) -> HostPort:
    match = _ADDRESS.fullmatch(_text(raw))
    if match is None or int(match["port"]) > 65_535:
        raise ValueError
    return HostPort(match["six"] or match["host"], int(match["port"]))


_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|m|h|d|)")
#: Seconds; some thirty years. More would be past what clocks and databases count.
_MAX_SECONDS = 1e9
_SECONDS = {"ms": 0.001, "s": 1, "": 1, "m": 60, "h": 3600, "d": 86_400}


def duration(raw: Any) -> float:
    """The seconds of `10`, `10s`, `5m`, `1.5h`, `250ms` or `7d`, or of a number, however many they are in the end.

    Raises `ValueError` for all else, also for more than a number can be.
    """
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        raw = str(raw) if isinstance(raw, int) else format(raw, "f")
    match = _DURATION.fullmatch(_text(raw))
    if match is None:
        raise ValueError
    value = float(match[1]) * _SECONDS[match[2]]
    if not isfinite(value):
        raise ValueError
    return value


def seconds(raw: Any) -> float:
    """A duration of up to thirty years, for a setting. Raises `ValueError` for all else."""
    value = duration(raw)
    if value > _MAX_SECONDS:
        raise ValueError
    return value


_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?(B|[KMGT]i?B|)", re.IGNORECASE)
_POWERS = "BKMGT"
#: Bytes: what a database's number holds, and a double exactly.
_MAX_SIZE = 2**62


def _size(raw: Any) -> int:
    """The bytes of `500MiB`, `10GiB` or `10GB`, or of a number."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        raw = str(raw)
    match = _SIZE.fullmatch(_text(raw))
    if match is None:
        raise ValueError
    unit = match[2].upper() or "B"
    value = float(match[1]) * (1024 if "I" in unit else 1000) ** _POWERS.index(unit[0])
    if value > _MAX_SIZE:
        raise ValueError
    return int(value)


def _positive(raw: Any) -> float:
    value = seconds(raw)
    if not value:
        raise ValueError
    return value


def _labels(raw: Any) -> dict[str, str]:
    if isinstance(raw, Mapping):
        labels = {key: value if isinstance(value, str) else _text(None) for key, value in raw.items()}
    else:
        labels = labels_from(_items(raw))
    check_labels(labels)
    return labels


def labels_from(pairs: Sequence[str]) -> dict[str, str]:
    """The labels of texts like `key=value`; the value may be empty. Raises `InvalidArgument`."""
    labels = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            missing = "there is no = in it" if not equals else "nothing stands before the ="
            raise InvalidArgument(f"{pair!a} is no KEY=VALUE: {missing}.")
        if key in labels:
            raise InvalidArgument(f"the key {key!a} is given twice: each key has one value.")
        labels[key] = value
    return labels


def _hosts(raw: Any) -> tuple[str, ...]:
    hosts = tuple(_items(raw))
    if not all(map(is_host, hosts)):
        raise ValueError
    return hosts


def _items(raw: Any) -> list[str]:
    """Several values: a list from a file, a tuple from a flag, or a variable's text with commas."""
    if isinstance(raw, str):
        return [item.strip() for item in raw.split(",") if item.strip()]
    if not isinstance(raw, Sequence):
        raise ValueError
    return [_text(item) for item in raw]


def one_of(*words: str, metavar: str = "") -> ValueKind:
    """A choice, written in any case."""

    def read(raw: Any) -> str:
        for word in words:
            if word.lower() == _text(raw).lower():
                return word
        raise ValueError

    rule = f"one of {', '.join(words)}" if len(words) > 1 else words[0]
    return ValueKind(metavar or "|".join(words), rule, read)


def whole_number(least: int, most: int) -> ValueKind:
    """A whole number from `least` to `most`."""

    def read(raw: Any) -> int:
        if isinstance(raw, bool | float):
            raise ValueError
        number = int(raw)
        if not least <= number <= most:
            raise ValueError
        return number

    return ValueKind("NUMBER", f"a whole number from {least} to {most}", read)


_POSTGRESQL = ("postgresql://", "postgres://")


def _store(raw: Any) -> StorePlace:
    if _text(raw).startswith(_POSTGRESQL):
        return StorePlace("postgresql", url=raw)
    if "://" in raw:
        raise InvalidArgument("the URL of a store begins with postgresql://.")  # it may hold a password: not repeated
    word, colon, path = _text(raw).partition(":")
    if word not in ("memory", "sqlite") or (colon and (word != "sqlite" or not path)):
        raise ValueError
    return StorePlace(word, _path(path) if path else None)


TEXT = ValueKind("TEXT", "some text", _text)
URL = ValueKind("URL", "a URL", _text)
PATH = ValueKind("PATH", "a path", _path)
SWITCH = ValueKind("", "true or false", _switch)
ADDRESS = ValueKind("HOST:PORT", "HOST:PORT, an IPv6 host in brackets and the port at most 65535", _address)
#: Longer than nothing.
DURATION = ValueKind("DURATION", "a duration such as 10s, 5m or 1h, and not 0", _positive)
#: Possibly nothing.
DELAY = ValueKind("DURATION", "a duration such as 10s, 5m or 1h", seconds)
SIZE = ValueKind("SIZE", "a number of bytes such as 500MiB or 10GiB", _size)
STORE = ValueKind("PLACE", "memory, sqlite, sqlite:PATH or a postgresql:// URL", _store)
LABELS = ValueKind("KEY=VALUE", "labels, each KEY=VALUE and each key once", _labels, many=True)
HOSTS = ValueKind("NAME", "DNS names or IP addresses, without scheme, port and brackets", _hosts, many=True)
