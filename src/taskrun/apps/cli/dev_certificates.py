"""The certificates of `taskrun dev`, which nobody else has: it may make new ones whenever its own are of no use."""

from __future__ import annotations

from pathlib import Path

from taskrun.apps.cli import showing
from taskrun.apps.process import ctrl_c_raises
from taskrun.domain.errors import FailedPrecondition

#: Keeps the directory out of a repository, and says that it is ours.
_MARK, _MARKED = ".gitignore", "*\n"


def certificates(directory: Path) -> Path:
    """Where they are. Raises `FailedPrecondition` if they are of no use, and not ours to replace, or cannot be made."""
    from taskrun.adapters.ca.files import CERT_FILES, check_certs, init_certs

    certs = (directory / "certs").absolute()
    there = [certs / name for name in CERT_FILES if (certs / name).exists()]
    if there:
        try:
            check_certs(certs)
            return certs
        except FailedPrecondition as error:
            if not _is_ours(directory):
                raise FailedPrecondition(f"{error.message} Delete {certs}, and dev makes new ones.") from error
            showing.note(f"{error.message} Making new ones.")
    else:
        _make(directory)
    with ctrl_c_raises():
        for path in there:
            path.unlink()
        init_certs(certs)
    return certs


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / _MARK).exists():
            (directory / _MARK).write_text(_MARKED)
    except OSError as error:
        raise FailedPrecondition(f"{directory} cannot be written: {error.strerror or error}.") from error


def _is_ours(directory: Path) -> bool:
    try:
        return (directory / _MARK).read_text() == _MARKED
    except (OSError, UnicodeDecodeError):
        return False
