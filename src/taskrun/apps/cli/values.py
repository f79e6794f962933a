"""What an option's value can be, beside what click has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import rich_click as click

from taskrun.apps.kinds import duration, labels_from
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.identity import CLIENT_ROLES

#: What somebody may: the value of a `Role`.
ROLE = click.Choice([role.value for role in CLIENT_ROLES])


class Duration(click.ParamType[int]):
    """A length of time such as `10s`, `5m` or `7d`, in milliseconds: at least one, for 0 says that none is given.

    How long it may be is for whoever takes it to say: beyond `LONGEST` it is that, which is too long for everybody.
    """

    name = "duration"
    #: A century, and an int64 holds it.
    LONGEST = 100 * 366 * 86_400_000

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """What stands for a value in the help."""
        return "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Milliseconds, as a default has them, are left alone."""
        if isinstance(value, int):
            return value
        try:
            ms = round(min(duration(value) * 1000, self.LONGEST))
        except ValueError:
            self.fail(f"{value!a} is no duration such as 10s, 5m or 1h.", param, ctx)
        if not ms:
            self.fail(f"{value!a} is no time at all: leave the option out, or give 1ms or more.", param, ctx)
        return ms


def labels(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """The labels of an option's values like `key=value`. Raises `InvalidArgument`, which names the option."""
    try:
        return labels_from(pairs)
    except InvalidArgument as error:
        raise InvalidArgument(f"{option}: {error.message}") from error


class TaskId(click.ParamType[str]):
    """The id of a task, which is no empty one: the variable that it came from was not set."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """As it is."""
        if not value.strip():
            self.fail("it is empty. Give the id of a task, as create-task prints it.", param, ctx)
        return str(value)


def alternatives(words: Sequence[str]) -> str:
    """`A, B or C`."""
    return f"{', '.join(words[:-1])} or {words[-1]}"


class Words(click.Choice[str]):
    """One of some words in capitals, which may be typed in any case."""

    def __init__(self, *words: str) -> None:
        super().__init__(words)

    def normalize_choice(self, choice: object, ctx: click.Context | None) -> str:
        """As it is compared, completed and shown."""
        return str(choice).upper()
