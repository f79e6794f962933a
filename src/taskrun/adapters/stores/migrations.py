"""The steps of a database's schema: numbered files, each applied once and never changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from taskrun.domain.errors import FailedPrecondition

#: What is said of a database that no control plane has ever started on.
NEVER_USED = "The database holds no tasks and never did: is it the right one?"


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the SQL, in hex."""
        return sha256(self.sql.encode()).hexdigest()


def migrations_of(package: str) -> list[Migration]:
    """The files of the package's folder `migrations`, in their order."""
    folder = files(package) / "migrations"
    steps = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return [Migration(int(name[:4]), name.removesuffix(".sql"), (folder / name).read_text("utf-8")) for name in steps]


def refuse_strange(known: Sequence[Migration], done: Mapping[int, tuple[str, str]]) -> None:
    """Raises `FailedPrecondition` if something was applied that is not known, or is known otherwise.

    `done` has the name and the checksum of what was applied, by number.
    """
    ours = {step.number: step for step in known}
    for number, (name, checksum) in done.items():
        if number not in ours:
            raise FailedPrecondition(f"The database was made by a newer TaskRun (it has step {name}): use that.")
        if ours[number].checksum != checksum:
            raise FailedPrecondition(f"The database's step {name} was made from another file than this TaskRun has.")


def schema_findings(known: Sequence[Migration], done: Mapping[int, tuple[str, str]]) -> list[str]:
    """In what a database differs from what this TaskRun works with, a sentence each; nothing, if it does not."""
    if not done:
        return [NEVER_USED]
    try:
        refuse_strange(known, done)
    except FailedPrecondition as error:
        return [error.message]
    missing = [step.name for step in known if step.number not in done]
    return [f"Step {name} of the schema is missing: a control plane's start adds it." for name in missing]
