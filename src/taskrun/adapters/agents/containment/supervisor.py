"""Runs one program so that nothing of it survives. A script: it imports nothing of ours.

    python -I -S supervisor.py CONTAINMENT CONTROL DIRECTORY PROGRAM [ARGUMENT ...]

It is started with the program's own standard streams, environment and working directory, in a session of its own.
CONTROL is the number of a socket to the worker, DIRECTORY is what the run leaves behind, to be deleted.

    from the worker: "T" = SIGTERM to everything; "K" = SIGKILL to everything; end of file = the worker died, as "K"
    to the worker:   "exit CODE" (negative: the signal that ended the program) or "error ERRNO" (it did not start)

When the program ends, whatever it has left running is killed; the supervisor ends after the last of it. How it knows
what belongs to the program:

- `namespace`: the program lives in its own PID namespace, whose first process is a fork of the supervisor. If that one
  ends, for whatever reason, the kernel kills the rest, and it dies with its parent (PDEATHSIG). No process can leave a
  PID namespace. An ordinary user gets the right to make one from a user namespace, in which it is nobody else.
- `tree`: the supervisor is a child subreaper. However a process of the program daemonises, it stays a descendant.

A supervisor that is killed can do none of this: what is left then goes to the worker, see `sweep`.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import sys

TYPE_CHECKING = False  # the real one would double the start of every run
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

# From linux/prctl.h, linux/sched.h and linux/mount.h; Python 3.11 has no names for them.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWNS = 0x0002_0000
_CLONE_NEWUSER = 0x1000_0000
_CLONE_NEWPID = 0x2000_0000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_SLAVE = 0x2, 0x4, 0x8, 0x4000, 0x8_0000

#: Microseconds of a limit that nobody reaches, and nobody has by chance: 146,000 years.
_MARK = 2**62

#: What a person or a service manager sends to end something.
_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

#: Milliseconds between two looks for processes that are still to be killed.
_SWEEP_MS = 20

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))))


def _mount(source: bytes, target: bytes, kind: bytes, flags: int) -> None:
    _check(_libc.mount(source, target, kind, ctypes.c_ulong(flags), None))


# What holds whatever this run has started.


def adopt() -> None:
    """Makes this process a child subreaper: a process below it whose parent ends becomes its own child."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _mark() -> None:
    """Marks this process, and all that it will ever start, as a run's: with a lower hard limit than its worker has.

    All else can be put off: an environment, a directory, a session, a name. But a hard limit cannot be raised without a
    right that ordinary users lack. This one is on the time that a real-time process computes without a pause.
    """
    hard = resource.getrlimit(resource.RLIMIT_RTTIME)[1]
    lower = _MARK if hard == resource.RLIM_INFINITY else max(hard - 1, 0)
    resource.setrlimit(resource.RLIMIT_RTTIME, (lower, lower))


# Namespaces.


def _isolate() -> int:
    """Forks the first process of a new PID namespace: returns its pid, or 0 in it. Raises OSError if it may not be."""
    user, group, root = os.getuid(), os.getgid(), os.geteuid() == 0
    _check(_libc.unshare(_CLONE_NEWPID | (0 if root else _CLONE_NEWUSER)))
    if not root:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    return os.fork()


def _settle() -> None:
    """Makes the first process of a namespace at home in it: it dies with its parent, and /proc shows the namespace.

    Its mounts are its own, so that what the program mounts is gone before anybody deletes the directory.
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    _mark()
    _check(_libc.unshare(_CLONE_NEWNS))
    _mount(b"none", b"/", b"none", _MS_REC | _MS_SLAVE)
    _mount(b"proc", b"/proc", b"proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


# Signals to everything the program has started.


def _signal_namespace(number: int) -> None:
    # For the first process of a namespace -1 means all others in it; for anybody else it means the whole machine.
    assert os.getpid() == 1
    _try(os.kill, -1, number)


def _signal_descendants(number: int) -> None:
    children = children_of_all()
    for pid in with_descendants(children.get(os.getpid(), ()), children):
        _try(os.kill, pid, number)


def children_of_all() -> Mapping[int, list[int]]:
    """The children, by parent, of all processes that are seen from here."""
    children: dict[int, list[int]] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", "rb") as file:
                # "pid (name) state parent ..."; the name may hold anything.
                parent = int(file.read().rpartition(b")")[2].split()[1])
        except OSError:
            continue
        children.setdefault(parent, []).append(int(name))
    return children


def with_descendants(pids: Iterable[int], children: Mapping[int, list[int]]) -> list[int]:
    """These and all processes below them, parents first."""
    found = list(pids)
    for pid in found:
        found += children.get(pid, ())
    return found


# One program.


class Supervision:
    """Watches over one program from its start until nothing of it is left."""

    def __init__(self, control: int, *, isolated: bool) -> None:
        self._control = control
        self._signal_all = _signal_namespace if isolated else _signal_descendants
        self._program = 0
        self._status: int | None = None
        #: Everything that is left is to be killed.
        self._ending = False
        self._childless = False

    def run(self, program: list[str]) -> None:
        """Starts the program, obeys the worker, and reports the program's end when all is over."""
        os.set_inheritable(self._control, False)
        adopt()
        wake = self._wake_on_signals()
        self._program = self._start(program)
        _let_go_of_streams()
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while not self._childless:
            for ready, _ in poll.poll(_SWEEP_MS if self._ending else None):
                if ready == wake:
                    os.read(wake, 4096)
                elif not self._obey():
                    poll.unregister(self._control)
            self._reap()
            if self._ending and not self._childless:
                self._signal_all(signal.SIGKILL)
        if self._status is not None:
            _tell(self._control, f"exit {os.waitstatus_to_exitcode(self._status)}")

    def _wake_on_signals(self) -> int:
        """A pipe's end that is readable after each signal; a signal to end is one from the worker's owner."""
        wake, write = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(write, False)
        signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in _ENDS:
            signal.signal(number, lambda number, frame: self._end())
        return wake

    def _start(self, program: list[str]) -> int:
        parent = os.getpid()
        # Until the program can take its signals itself they wait: one that comes now is not lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
        pid = os.fork()
        if pid:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
            return pid
        try:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            # What cannot become another user can always be killed.
            _prctl(_PR_SET_NO_NEW_PRIVS, 1)
            _mark()
            if os.getppid() == parent:
                # A program that signals its whole process group is not to meet the supervisor in it.
                os.setsid()
                for number in (signal.SIGPIPE, signal.SIGXFSZ, *_ENDS):
                    signal.signal(number, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
                os.execvp(program[0], program)  # noqa: S606  # starting it is the point
        except OSError as error:
            _tell(self._control, f"error {error.errno}")
        finally:
            os._exit(127)

    def _obey(self) -> bool:
        """Takes in an order; false if there will be no more."""
        order = _try(os.read, self._control, 16) or b""
        if b"T" in order:
            self._signal_all(signal.SIGTERM)
        if b"K" in order or not order:
            self._end()
        return bool(order)

    def _end(self) -> None:
        self._ending = True

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._childless = True
                return
            if pid == 0:
                return
            if pid == self._program:
                self._status = status
                self._end()


def _let_go_of_streams() -> None:
    """The program's streams are the program's alone: the worker sees their end when the program is gone."""
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)


def _tell(control: int, line: str) -> None:
    _try(os.write, control, f"{line}\n".encode())  # the worker may be gone


def _delete(directory: str) -> None:
    """Deletes what a run leaves behind, also what it has write-protected."""
    folders = [directory]
    for folder in folders:
        _try(os.chmod, folder, 0o700)
        for entry in _try(os.scandir, folder) or ():
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.path)
            else:
                _try(os.unlink, entry.path)
    for folder in reversed(folders):
        _try(os.rmdir, folder)


def _try(function: Callable[..., Any], *arguments: object) -> Any:
    try:
        return function(*arguments)
    except OSError:
        return None


def _contain(control: int, program: list[str]) -> None:
    """Runs the program in a namespace of its own; where that may not be, as a tree."""
    try:
        first = _isolate()
    except OSError:
        Supervision(control, isolated=False).run(program)
        return
    if first:
        os.close(control)
        _let_go_of_streams()
        os.waitpid(first, 0)
        return
    try:
        _settle()
        Supervision(control, isolated=True).run(program)
    except OSError as error:
        _tell(control, f"error {error.errno}")
    finally:
        os._exit(0)


def _probe() -> int:
    """Ends with 0 if a namespace can be made here."""
    try:
        first = _isolate()
        if first == 0:
            _settle()
            os._exit(0)
        return os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
    except OSError:
        os._exit(1)


def main(containment: str, control: str = "", directory: str = "", *program: str) -> int:
    """What the command line asks for."""
    if containment == "probe":
        return _probe()
    if containment == "namespace":
        _contain(int(control), list(program))
    else:
        Supervision(int(control), isolated=False).run(list(program))
    if directory:
        _delete(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
