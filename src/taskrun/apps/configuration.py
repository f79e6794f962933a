"""How a program gets its settings: one table of them drives the flags, the variables, the file and the documentation.

A settings class is a frozen dataclass whose fields are made by `setting`. What is given several times counts in the
order flag, variable, file, default; a value is checked wherever it stands, even if a stronger one replaces it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from taskrun.apps.kinds import ValueKind
from taskrun.domain.errors import InvalidArgument, TaskRunError

PREFIX = "TASKRUN_"

T = TypeVar("T")


def setting(
    default: Any, help: str, kind: ValueKind, *, flag: str | None = None, variable: str = "", secret: bool = False
) -> Any:
    """A field of a settings class.

    The flag is `--` and the field's name unless `flag` says otherwise; "" leaves the setting to the file alone. The
    variable is `TASKRUN_` and the field's name, or what `variable` says in the name's place: another program may have
    a variable of the same name that means something else.
    """
    metadata = {"help": help, "kind": kind, "flag": flag, "variable": variable}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata, repr=not secret)


@dataclass(frozen=True, slots=True)
class SettingRow:
    """A setting with its names."""

    #: The field's name, and the key in the file.
    key: str
    #: "" for what only a file can say.
    flag: str
    #: "" for what only a file can say.
    variable: str
    kind: ValueKind
    help: str
    default: Any

    def read(self, raw: Any, source: str) -> Any:
        """The value of what `source` gave. Raises `InvalidArgument`, naming the source."""
        try:
            return self.kind.read(raw)
        except TaskRunError as error:
            raise InvalidArgument(f"{source}: {error.message}") from error
        except (ValueError, TypeError) as error:
            raise InvalidArgument(f"{source} is {shown_value(raw)}: it must be {self.kind.rule}.") from error


def table(of: type) -> Iterator[SettingRow]:
    """The settings of a settings class, in its order."""
    for item in fields(of):
        help, kind, flag = item.metadata["help"], item.metadata["kind"], item.metadata["flag"]
        if flag is None:
            flag = f"--{item.name.replace('_', '-')}"
        variable = PREFIX + (item.metadata["variable"] or item.name.upper()) if flag else ""
        default = item.default if item.default_factory is MISSING else item.default_factory()
        yield SettingRow(item.name, flag, variable, kind, help, default)


def load(of: type[T], flags: Mapping[str, Any], environ: Mapping[str, str], config: Path | None) -> T:
    """The settings, from everywhere. `flags` holds values by key; None, and an empty tuple, were not given.

    Raises `InvalidArgument`, one sentence that names the flag, variable or key, for whatever is wrong.
    """
    known = {row.key: row for row in table(of)}
    values: dict[str, Any] = {}
    for key, raw in (_document(config) if config else {}).items():
        if key not in known:
            raise InvalidArgument(f"{config}: there is no setting {key!r}.{meant(key, known)}")
        values[key] = known[key].read(raw, f"{config}: {key}")
    for key, row in known.items():
        # An empty variable is how a shell unsets one for a single command.
        if environ.get(row.variable):
            values[key] = row.read(environ[row.variable], row.variable)
        if flags.get(key) not in (None, ()):
            values[key] = row.read(flags[key], row.flag)
    return of(**values)


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidArgument(f"{path} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"{path} is no TOML: it is not in UTF-8.") from error
    except RecursionError:
        raise InvalidArgument(f"{path} is no TOML: it is nested too deeply.") from None
    # A number that is too long is no TOMLDecodeError.
    except ValueError as error:
        raise InvalidArgument(f"{path} is no TOML: {error}.") from error


def config_variable_of(program: str) -> str:
    """The variable that names the file of this program: each has its own, for each has keys of its own."""
    return f"{PREFIX}{program.removeprefix('taskrun-').replace('-', '_').upper()}_CONFIG"


def meant(key: str, known: Iterable[str]) -> str:
    """A question, with a space before it, about the nearest name that is known; "" if none is near."""
    close = get_close_matches(key, sorted(known), n=1)
    return f" Is {close[0]!r} meant?" if close else ""


def shown_value(raw: Any) -> str:
    """The value, short and harmless, for a message."""
    text = ascii(", ".join(map(str, raw)) if isinstance(raw, tuple) else raw)
    return text if len(text) <= 64 else f"{text[:60]}..."
