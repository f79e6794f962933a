"""The options that every command has, and the way to the control plane."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Any

import rich_click as click
from click import get_current_context
from click.core import ParameterSource

from taskrun.adapters.ca.disk import read_private, read_public
from taskrun.adapters.grpc.client import Client
from taskrun.adapters.grpc.tls import ClientTls
from taskrun.apps.advice import advising
from taskrun.domain.errors import FailedPrecondition, Unauthenticated

Function = Callable[..., Any]

_WHERE_FROM = (
    "source the env file of taskrun dev, or name what taskrun init made for the control plane "
    "by --ca-cert, --cert and --key"
)

_META = "taskrun.connection"
#: What a PEM block is called that holds it.
_CERTIFICATE, _KEY = "CERTIFICATE", "PRIVATE KEY"


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the control plane is, who asks, and how the answer shall look."""

    #: Those of several control planes are of one store: it makes no difference which is asked.
    addr: tuple[str, ...] = ("https://[::1]:50051",)
    ca_cert: str = "certs/ca.crt"
    cert: str = "certs/client.crt"
    key: str = "certs/client.key"
    json: bool = False

    def open(self) -> Client:
        """A client; use it as a context manager.

        Raises `Unauthenticated` if a certificate file cannot be used, and `InvalidArgument` for what is no address.
        """
        try:
            with advising(_WHERE_FROM):
                tls = ClientTls(
                    _holding(_CERTIFICATE, self.ca_cert, read_public),
                    _holding(_CERTIFICATE, self.cert, read_public),
                    _holding(_KEY, self.key, read_private),
                )
        except FailedPrecondition as error:
            raise Unauthenticated(error.message) from error
        return Client(self.addr, tls)

    def command(self, *words: str) -> str:
        """What to type to give another command to the same control plane; the environment stays as it is."""
        flags = [
            f"--{key.replace('_', '-')}={one}"
            for key, (value, by_flag) in _given().items()
            if by_flag and value is not True
            for one in (value if isinstance(value, tuple) else (value,))
        ]
        return shlex.join(["taskrun", *words, *flags])


#: (declarations, attributes) of each field of `Connection`.
_OPTIONS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    "addr": (
        ("-a", "--addr"),
        {"metavar": "URL", "multiple": True, "help": "The control plane; repeatable, for several of one store."},
    ),
    "ca_cert": (("--ca-cert",), {"metavar": "FILE", "help": "The CA whose control plane to trust."}),
    "cert": (("--cert",), {"metavar": "FILE", "help": "Your certificate."}),
    "key": (("--key",), {"metavar": "FILE", "help": "Your key."}),
    "json": (("--json",), {"is_flag": True, "default": None, "help": "Answer in JSON."}),
}


def _holding(kind: str, path: str, read: Callable[[Path], bytes]) -> bytes:
    """The file's content. What gRPC says of one that holds something else does not name the file, and what is inside a
    block would take `cryptography` to look at, which a command must not wait for."""
    content = read(Path(path))
    # To its end: what was copied in part is the commonest fault.
    if not re.search(rf"-----BEGIN ((?:[A-Z]+ )?{kind})-----\s[^-]*-----END \1-----".encode(), content):
        raise FailedPrecondition(f"{path} holds no {kind.lower()}: it must be PEM.")
    return content


def global_options(command: Function) -> Function:
    """For the group: flags and variables."""
    return _with_options(command, _OPTIONS, variables=True)


def client_command(function: Function) -> Function:
    """For a command: flags, which count more than the group's. Its first argument is the `Connection`."""

    @wraps(function)
    def invoke(*args: Any, **kwargs: Any) -> Any:
        return function(current(), *args, **kwargs)

    return _with_options(invoke, _OPTIONS, variables=False)


def json_command(function: Function) -> Function:
    """For a command that asks no control plane: `--json` alone. Its first argument is whether that is wanted."""

    @wraps(function)
    def invoke(*args: Any, **kwargs: Any) -> Any:
        return function(current().json, *args, **kwargs)

    return _with_options(invoke, ["json"], variables=False)


def current() -> Connection:
    """The connection that the options of the command under way describe."""
    return Connection(**{key: value for key, (value, _) in _given().items()})


def _given() -> dict[str, tuple[Any, bool]]:
    """What the options and variables said, and whether it was by an option."""
    given: dict[str, tuple[Any, bool]] = get_current_context().meta.setdefault(_META, {})
    return given


def _with_options(command: Function, names: Collection[str], variables: bool) -> Function:
    for item in (item for item in reversed(fields(Connection)) if item.name in names):
        declarations, attributes = _OPTIONS[item.name]
        help = attributes["help"]
        if variables:
            variable = f"TASKRUN_{item.name.upper()}"
            default = f"; {_shown(item.default)}" if item.default else ""
            attributes = attributes | {"envvar": variable, "help": f"{help} [{variable}{default}]"}
        attach = click.option(*declarations, item.name, expose_value=False, callback=_remember, **attributes)
        command = attach(command)
    return command


def _shown(default: Any) -> str:
    return ",".join(default) if isinstance(default, tuple) else str(default)


def _remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
    """Contexts share their `meta`, and a command's options are read after its group's."""
    if value not in (None, ()):
        assert param.name is not None
        by_flag = ctx.get_parameter_source(param.name) is ParameterSource.COMMANDLINE
        ctx.meta.setdefault(_META, {})[param.name] = (value, by_flag)
