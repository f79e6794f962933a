"""Programs that do not want to end, under every means of containment that this machine has."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from asyncio.base_subprocess import BaseSubprocessTransport
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from taskrun.adapters.agents.containment.directory import RunDirectory
from taskrun.adapters.agents.containment.environment import of_run
from taskrun.adapters.agents.containment.means import NAMESPACE, TREE, containment
from taskrun.adapters.agents.containment.process import KILLED, ContainedProcess, Ending, NotStarted, Program, contained
from taskrun.testing.contracts.agent_acts import UNLABELLED
from taskrun.testing.processes import processes_of as processes_with
from taskrun.testing.processes import until_there_are

ProcessesOf = Callable[[str], list[str]]
Run = Callable[..., AbstractAsyncContextManager[ContainedProcess]]

MEANS = sorted({TREE, containment()})

#: Each prints "ready" once it has done its worst.
NASTY = {
    "ignores SIGTERM": "trap '' TERM; echo ready; while :; do sleep 0.05; done",
    "a double fork that holds stdout": "(setsid setsid sh -c 'trap \"\" TERM; echo ready; sleep 1000' &); sleep 1000",
    "twenty children in sessions of their own": "for i in $(seq 20); do setsid sleep 1000 & done; echo ready; wait",
    "a double fork without its environment": f"({UNLABELLED} setsid sh -c 'echo ready; sleep 1000; :' &); sleep 1000",
    "a stopped process": "sleep 1000 & kill -STOP $!; echo ready; wait",
    "forks for ever": "f() { while :; do (sleep 0.01; :) & sleep 0.01; done; }; f & f & echo ready; f",
}
QUICK_GRACE = 0.2


@pytest.fixture(params=MEANS)
def means(request: pytest.FixtureRequest) -> str:
    means: str = request.param
    return means


@pytest.fixture
def run(work_dir: Path, run_id: str, means: str) -> Run:
    """Runs a shell script, or a program, with arguments; contained."""

    @asynccontextmanager
    async def run(
        script: str, *arguments: str, input: bytes = b"", talks: bool = False, grace: float = 10.0
    ) -> AsyncIterator[ContainedProcess]:
        directory = RunDirectory.make(work_dir)
        environ = {"PATH": os.environ["PATH"], **of_run(run_id, "task-1", directory)}
        argv = ("sh", "-c", script, *arguments) if " " in script else (script, *arguments)
        program = Program(argv, environ, directory.work, directory.root, input, talks)
        async with contained(program, grace, means) as process:
            yield process

    return run


async def everything(process: ContainedProcess) -> bytes:
    return b"".join([block async for block in process.output()])


async def ready(process: ContainedProcess) -> None:
    async for block in process.output():
        if b"ready" in block:
            return


# It runs.


async def test_input_output_and_exit_code(run: Run) -> None:
    async with run("cat; echo oops >&2; exit 3", input=b"hello") as process:
        assert await everything(process) == b"hello"
        assert await process.ending() == Ending(3)
        assert process.errors() == "oops"


async def test_a_signal_is_told(run: Run) -> None:
    async with run("kill -SEGV $$") as process:
        assert await everything(process) == b""
        assert await process.ending() == Ending(-signal.SIGSEGV)


@pytest.mark.parametrize(("path", "number"), [("/no/such", errno.ENOENT), ("/etc/passwd", errno.EACCES)])
async def test_a_program_that_cannot_be_started_says_why(run: Run, path: str, number: int) -> None:
    async with run(path) as process:
        assert await everything(process) == b""
        assert await process.ending() == Ending(None, number, path)


async def test_a_missing_working_directory_is_no_start(tmp_path: Path) -> None:
    program = Program(("true",), {}, tmp_path / "none", tmp_path)
    with pytest.raises(NotStarted):
        async with contained(program, 1.0):
            pass


async def test_a_program_that_never_reads_its_input_does_not_block(run: Run) -> None:
    async with run("echo out", input=b"x" * 1024 * 1024) as process:
        assert await everything(process) == b"out\n"
        assert await process.ending() == Ending(0)


async def test_what_a_program_is_told_meanwhile_comes_after_its_input(run: Run) -> None:
    async with run("read a; echo got $a; read b; echo got $b; cat", input=b"first\n", talks=True) as process:
        blocks = process.output()
        assert await anext(blocks) == b"got first\n"
        await process.tell(b"second\n")
        assert await anext(blocks) == b"got second\n"
        await process.tell(b"the rest")
        process.end_input()
        process.end_input()
        assert [block async for block in blocks] == [b"the rest"]
        assert await process.ending() == Ending(0)


async def test_telling_waits_for_a_program_that_does_not_read(run: Run, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    async with run(f"echo ready; cat {gate}; wc -c", talks=True) as process:
        await ready(process)
        telling = asyncio.create_task(process.tell(b"x" * 1_000_000))
        done, _ = await asyncio.wait([telling], timeout=0.2)
        assert not done
        gate.write_bytes(b"")
        await telling
        process.end_input()
        assert (await everything(process)).strip() == b"1000000"


@pytest.mark.parametrize("script", ["exec <&-; echo ready; sleep 1000", "echo ready; exit 0"], ids=["closed", "ended"])
async def test_nobody_waits_for_a_program_that_reads_no_more(run: Run, script: str) -> None:
    async with run(script, talks=True, grace=QUICK_GRACE) as process:
        await ready(process)
        await process.tell(b"x" * 1_000_000)
        await process.tell(b"more")


async def test_telling_ends_with_the_program(run: Run) -> None:
    async with run("echo ready; exec sleep 1000", talks=True) as process:
        await ready(process)
        telling = asyncio.create_task(process.tell(b"x" * 1_000_000))
    await telling


async def test_a_program_gets_its_streams_and_nothing_else(run: Run) -> None:
    async with run(sys.executable, "-c", "import os; print(sorted(os.listdir('/proc/self/fd')))") as process:
        # 3 is the listing's own.
        assert await everything(process) == b"['0', '1', '2', '3']\n"


async def test_a_program_that_signals_its_group_ends_only_itself(run: Run) -> None:
    async with run("kill -TERM 0; sleep 10") as process:
        await everything(process)
        assert await process.ending() == Ending(-signal.SIGTERM)


async def test_a_full_reader_makes_the_program_wait(run: Run, tmp_path: Path) -> None:
    mark = tmp_path / "written"
    async with run(f"head -c 8000000 /dev/zero; touch {mark}") as process:
        blocks = process.output()
        size = len(await anext(blocks))
        await asyncio.sleep(0.3)
        assert not mark.exists()
        size += sum([len(block) async for block in blocks])
        assert size == 8_000_000
        assert await process.ending() == Ending(0)
    assert mark.exists()


async def test_many_at_once(run: Run) -> None:
    async def one(number: int) -> bytes:
        async with run(f"echo {number}") as process:
            return await everything(process)

    assert await asyncio.gather(*map(one, range(12))) == [f"{number}\n".encode() for number in range(12)]


# It ends.


@pytest.mark.parametrize("script", NASTY.values(), ids=NASTY.keys())
async def test_a_stop_leaves_no_process(run: Run, processes_of: ProcessesOf, run_id: str, script: str) -> None:
    async with run(script, grace=QUICK_GRACE) as process:
        await ready(process)
        assert processes_of(run_id)
    assert processes_of(run_id) == []


@pytest.mark.parametrize("script", NASTY.values(), ids=NASTY.keys())
async def test_the_programs_own_end_leaves_no_process(
    run: Run, processes_of: ProcessesOf, run_id: str, script: str, tmp_path: Path
) -> None:
    nasty = tmp_path / "nasty"
    nasty.write_text(script)
    async with run(f"mkfifo up; sh {nasty} > up & grep -m1 ready up; exit 5") as process:
        assert await everything(process) == b"ready\n"
        assert await process.ending() == Ending(5)
        assert processes_of(run_id) == []


POLITE = """
import os, signal, subprocess, sys
inner = sys.argv[1:]
child = subprocess.Popen([sys.executable, "-c", *inner], start_new_session=True) if inner else None

def end(*_):
    if child: child.wait()
    os.write(1, b"outer " if child else b"inner ")
    os._exit(0)

signal.signal(signal.SIGTERM, end)
if not child: os.write(1, b"ready ")
while True: signal.pause()
"""


async def test_sigterm_comes_first_and_reaches_every_process(run: Run, tmp_path: Path) -> None:
    said = tmp_path / "said"
    async with run(f"trap '' TERM; '{sys.executable}' -c \"$0\" \"$0\" | tee {said}", POLITE) as process:
        await ready(process)
    assert said.read_text().split() == ["ready", "inner", "outer"]


async def test_a_stop_at_the_very_start_needs_no_grace(run: Run) -> None:
    began = time.monotonic()
    for _ in range(5):
        async with run("exec sleep 1000", grace=60.0):
            pass
    assert time.monotonic() - began < 50


async def test_a_cancel_while_it_is_being_started_leaves_no_process(
    run: Run, processes_of: ProcessesOf, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a program can have done its worst before asyncio has taken hold of its streams."""
    gate, connect = asyncio.Event(), BaseSubprocessTransport._connect_pipes

    async def late(transport: BaseSubprocessTransport, waiter: asyncio.Future[Any] | None) -> None:
        await gate.wait()
        await connect(transport, waiter)

    async def body() -> None:
        async with run(NASTY["a double fork that holds stdout"], grace=QUICK_GRACE):
            pass

    monkeypatch.setattr(BaseSubprocessTransport, "_connect_pipes", late)
    task = asyncio.create_task(body())
    await until_there_are(run_id, "sleep 1000", 2)
    task.cancel()
    await asyncio.sleep(0)
    gate.set()
    await asyncio.wait([task], timeout=30)
    assert (task.done(), processes_of(run_id)) == (True, [])
    assert task.cancelled()


async def test_a_second_cancel_ends_the_grace(run: Run, processes_of: ProcessesOf, run_id: str) -> None:
    up = asyncio.Event()

    async def body() -> None:
        async with run(NASTY["ignores SIGTERM"], grace=1000.0) as process:
            await ready(process)
            up.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(body())
    await up.wait()
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=0.2)
    assert not done
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert processes_of(run_id) == []


async def test_a_stop_is_not_held_up_by_unread_output(run: Run) -> None:
    began = time.monotonic()
    async with run("trap 'exit 0' TERM; echo ready; while :; do echo spam; done", grace=30.0) as process:
        await ready(process)
    assert time.monotonic() - began < 15


async def test_what_a_run_leaves_on_disk_is_deleted(run: Run, work_dir: Path) -> None:
    litter = "mkdir -p a/b; echo x > a/b/c; ln -s /etc d; chmod 000 a/b; chmod 500 a $HOME; echo ready; sleep 1000"
    async with run(litter) as process:
        await ready(process)
        assert len(os.listdir(work_dir)) == 1
    assert os.listdir(work_dir) == []
    assert os.listdir("/etc")


# Its supervisor is killed.


def supervisors_of(run_id: str) -> set[int]:
    """Children of ours: in a namespace the first process has the same command line."""
    lines = processes_with(run_id).items()
    return {pid for pid, line in lines if "supervisor.py" in line and psutil.Process(pid).ppid() == os.getpid()}


def kill(pids: set[int]) -> None:
    [pid] = pids
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("script", NASTY.values(), ids=NASTY.keys())
async def test_a_killed_supervisor_leaves_no_process_that_ignores_signals_forks_or_drops_its_environment(
    run: Run, processes_of: ProcessesOf, run_id: str, script: str
) -> None:
    ours = set(psutil.Process().children())
    async with run(script) as process:
        await ready(process)
        kill(supervisors_of(run_id))
        await everything(process)
        assert await process.ending() == KILLED
    assert processes_of(run_id) == []
    assert set(psutil.Process().children()) <= ours


async def test_an_agent_that_kills_its_supervisor_leaves_no_process(
    run: Run, processes_of: ProcessesOf, run_id: str, means: str
) -> None:
    """The first process of a namespace cannot be killed from within."""
    async with run(f"({UNLABELLED} setsid sleep 1000 &); kill -9 $PPID; exit 1") as process:
        await everything(process)
        assert await process.ending() == {TREE: KILLED, NAMESPACE: Ending(1)}[means]
    assert processes_of(run_id) == []


async def test_an_agent_that_stops_its_supervisor_is_ended_all_the_same(
    run: Run, processes_of: ProcessesOf, run_id: str
) -> None:
    """In a namespace the supervisor is the first process, and takes no such signal from within."""
    async with run(f"kill -STOP $PPID; ({UNLABELLED} setsid sleep 1000 &); echo ready; sleep 1000") as process:
        await ready(process)
        await process.stop(0.1)
    assert processes_of(run_id) == []


#: Leaves a process in a session of its own behind, which says its pid and ends with its input.
LEAVES_ONE_BEHIND = "import os; os.fork() and os._exit(0); os.setsid(); print(os.getpid(), flush=True); os.read(0, 1)"


@contextmanager
def left_behind() -> Iterator[psutil.Process]:
    """What a process of ours, which has ended, has left to us. It has to be there still in the end."""
    argv = [sys.executable, "-c", LEAVES_ONE_BEHIND]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as function:
        assert function.stdout is not None
        left = psutil.Process(int(function.stdout.readline()))
        yield left
        assert left.status() != psutil.STATUS_ZOMBIE
        assert function.wait() == 0
        assert left.ppid() == os.getpid()
    os.waitpid(left.pid, 0)


async def test_a_killed_supervisor_ends_nothing_that_others_have_started(run: Run, run_id: str) -> None:
    """That is another run, and what a Python function in the worker has started, in whatever way."""
    async with run("echo ready; cat", talks=True) as another:
        await ready(another)
        others = supervisors_of(run_id)
        with left_behind():
            async with run("echo ready; sleep 1000") as process:
                await ready(process)
                kill(supervisors_of(run_id) - others)
                await everything(process)
        another.end_input()
        await everything(another)
        assert await another.ending() == Ending(0)


@pytest.mark.skipif(containment() != NAMESPACE, reason="PID namespaces are not allowed here")
async def test_a_namespace_shows_the_program_no_other_processes(run: Run, means: str) -> None:
    async with run("tr '\\0' ' ' < /proc/1/cmdline") as process:
        first = await everything(process)
    assert (b"supervisor.py" in first) == (means == NAMESPACE)


async def test_a_program_gains_no_rights(run: Run) -> None:
    async with run("grep NoNewPrivs /proc/self/status") as process:
        assert (await everything(process)).split() == [b"NoNewPrivs:", b"1"]
