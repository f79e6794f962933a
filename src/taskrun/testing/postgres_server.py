"""A PostgreSQL server of one's own, on a unix socket in a directory of its own: for tests, benchmarks and trying out.

It is Debian's (or any other that is installed), run as a user without privileges, and ends with the process that
started it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

#: Who runs it when root may not: the first that there is.
_USERS = ("postgres", "nobody")
#: Seconds until it answers, or has ended.
_MOST = 60.0
_PORT = 5432


def programs() -> Path | None:
    """The folder with `initdb` and `postgres`, of the newest version; None if PostgreSQL is not installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    if on_path and Path(on_path).resolve().with_name("postgres").exists():
        found.append(Path(on_path).resolve())
    return found[-1].parent if found else None


class PostgresServer:
    """A server. `durable=False` leaves out what only a crash of the machine would show."""

    def __init__(self, *, durable: bool = True, settings: Sequence[str] = ()) -> None:
        """Makes its files and starts it. `settings` are `name=value` pairs of its own."""
        folder = programs()
        if folder is None:
            raise RuntimeError("PostgreSQL is not installed.")
        self._programs = folder
        self.directory = Path(tempfile.mkdtemp(prefix="taskrun-pg-"))
        self._settings = [f"unix_socket_directories={self.directory}", "listen_addresses=", *settings]
        if not durable:
            self._settings += ["fsync=off", "full_page_writes=off"]
        self._as_user: list[str] = []
        if os.geteuid() == 0:
            user = _unprivileged()
            os.chown(self.directory, user.pw_uid, user.pw_gid)
            self._as_user = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self._server: subprocess.Popen[bytes] | None = None
        try:
            self._run("initdb", "--auth=trust", "--username=taskrun", "--encoding=UTF8", "--locale=C", "--no-sync")
            self.start()
        except BaseException:
            self.close()
            raise

    def url(self, database: str = "postgres") -> str:
        """Where a database of it is."""
        return f"postgresql://taskrun@/{database}?host={self.directory}"

    def start(self) -> None:
        """Starts it, if it does not run, and waits until it answers."""
        if self._server is not None:
            return
        settings = [word for setting in self._settings for word in ("-c", setting)]
        log = (self.directory / "log").open("ab")
        with log:
            self._server = subprocess.Popen(self._command("postgres", *settings), stdout=log, stderr=log, cwd="/")
        deadline = time.monotonic() + _MOST
        while not self._answers():
            if self._server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PostgreSQL did not start:\n{(self.directory / 'log').read_text()[-2000:]}")
            time.sleep(0.02)

    def stop(self, *, at_once: bool = False) -> None:
        """Ends it and all connections; `at_once` as a crash would."""
        server, self._server = self._server, None
        if server is not None:
            server.send_signal(signal.SIGQUIT if at_once else signal.SIGINT)
            server.wait(_MOST)

    def close(self) -> None:
        """Ends it and removes its files; doing it twice is harmless."""
        self.stop(at_once=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _command(self, program: str, *more: str) -> list[str]:
        tie = ["setpriv", "--pdeathsig=INT", *self._as_user]
        return [*tie, str(self._programs / program), "-D", str(self.directory / "data"), *more]

    def _run(self, program: str, *more: str) -> None:
        subprocess.run(self._command(program, *more), check=True, capture_output=True, cwd="/")

    def _answers(self) -> bool:
        """Whether it takes connections; while it starts it refuses them with a message."""
        with socket.socket(socket.AF_UNIX) as asked:
            try:
                asked.settimeout(5)
                asked.connect(str(self.directory / f".s.PGSQL.{_PORT}"))
            except OSError:
                return False
        return (self.directory / "data" / "postmaster.pid").read_text().rstrip().endswith("ready")


def _unprivileged() -> pwd.struct_passwd:
    for name in _USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise RuntimeError("There is no user without privileges to run PostgreSQL as.")
