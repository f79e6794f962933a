"""An ordinary user for tests that are root's: what makes a program his, and a directory of his own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

#: What an ordinary user can have: the right to make namespaces, as far as this machine gives it to anybody, or not.
FREE, WALLED = "free", "walled"

_NOBODY = 65534
_BECOME = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
#: Whoever has a root directory of his own, even if all is in it, may make no user namespace.
_WALL = ("unshare", "--mount", "sh", "-c", 'mount --rbind / "$0" && exec chroot "$0" "$@"')
#: Where the interpreter, its packages and these tests are.
_OURS = tuple(Path(path).resolve() for path in (sys.base_prefix, sys.prefix, Path(__file__).parents[1]))
_USES_OURS = f"import taskrun; open({__file__!r}).close()"


@dataclass(frozen=True)
class OrdinaryUser:
    """Somebody who is not root, and has no right of root's."""

    #: Goes before a command, which keeps its process id and loses its working directory. Empty if the tests are his.
    become: tuple[str, ...]
    #: His own, with all that he is given.
    place: Path

    def give(self, *paths: Path) -> None:
        """They, and all that is below them, are his now."""
        for given in paths if self.become else ():
            for path in (given, *given.rglob("*")):
                os.chown(path, _NOBODY, _NOBODY)

    def containment(self) -> str:
        """By what means his agents are contained."""
        asking = "from taskrun.adapters.agents.containment.means import containment; print(containment())"
        return subprocess.check_output([*self.become, sys.executable, "-c", asking], text=True).strip()


@pytest.fixture(params=[FREE, WALLED])
def ordinary_user(request: pytest.FixtureRequest) -> Iterator[OrdinaryUser]:
    """One of each. Skips the test where there can be none."""
    # Not below pytest's directories, which are for nobody but root.
    with tempfile.TemporaryDirectory(prefix="taskrun-test-") as directory:
        place = Path(directory)
        user = OrdinaryUser(_becoming(request.param, place), place)
        user.give(place)
        yield user


def _becoming(what: str, place: Path) -> tuple[str, ...]:
    if os.geteuid() != 0:
        return () if what == FREE else pytest.skip("only root can wall an ordinary user in")
    walls = (*_WALL, str(_made(place / "wall"))) if what == WALLED else ()
    become = (*_opened(place), *walls, *_BECOME)
    # By `env`: root starts the first program, also if the user could not.
    tried = subprocess.run([*become, "env", sys.executable, "-c", _USES_OURS], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip(f"there can be no ordinary user here who is {what} and can run this interpreter")
    return become


def _opened(place: Path) -> tuple[str, ...]:
    """Shows a program what is ours where that is in a place closed to others, such as root's home: of such a place it
    sees that and nothing else."""
    closed = {ours: above for ours in _OURS if (above := _closed_above(ours))}
    halls = {ours: _made(place / f"hall-{number}") for number, ours in enumerate(closed)}
    steps = [
        *(f"mount --bind '{ours}' '{hall}'" for ours, hall in halls.items()),
        *(f"mount -t tmpfs -o mode=755 none '{above}'" for above in set(closed.values())),
        *(f"mkdir -p '{ours}' && mount --move '{hall}' '{ours}'" for ours, hall in halls.items()),
        'exec "$0" "$@"',
    ]
    return ("unshare", "--mount", "sh", "-c", " && ".join(steps)) if closed else ()


def _closed_above(path: Path) -> Path | None:
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & stat.S_IXOTH), None)


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory
