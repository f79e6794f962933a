"""`taskrun-worker` with two agents more: `say`, a function, and `shout`, a shell script.

Both say what their input asks for, and write into the history when they begin and when they end.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from chaos.history import History, Recorder
from chaos.speech import Speech
from taskrun.adapters.agents.command import CommandAgent, CommandDefinition
from taskrun.adapters.agents.function import Function, FunctionAgent
from taskrun.adapters.agents.program import Workshop
from taskrun.apps import worker
from taskrun.apps.settings import WorkerSettings
from taskrun.apps.worker_parts import WorkerContainer
from taskrun.ports.agents import Agent, AgentRequest, AgentSink
from taskrun.ports.clock import Clock

#: It lives on in a session of its own, and whoever ends the run has to end that as well. `$0` is the history, `$1` the
#: worker. A shell has no monotonic clock but this.
_SHOUT = r"""
note() {
    read now rest < /proc/uptime
    printf '{"at": %s, "what": "%s", "task": "%s", "run": "%s", "worker": "%s", "pid": %d, "how": "%s"}\n' \
        "$now" "$1" "$TASKRUN_TASK_ID" "$TASKRUN_RUN_ID" "$worker" $$ "$2" >> "$history"
}
history=$0 worker=$1
read number lines width pause
trap 'note ended stopped; exit 143' TERM
note began ""
setsid sleep 600 > /dev/null 2>&1 &
dots=$(printf "%${width}s" "" | tr ' ' .)
[ "$width" = 0 ] && dots=
line=0
while [ $line -lt "$lines" ]; do
    echo "$number:$line:$dots"
    line=$((line + 1))
    [ "$pause" = 0 ] || sleep "$pause"
done
note ended done
"""

#: One line as long as asked for, as fast as it goes.
_BLAST = r"""
history=$0 worker=$1
read number lines width pause
note() {
    read now rest < /proc/uptime
    printf '{"at": %s, "what": "%s", "task": "%s", "run": "%s", "worker": "%s", "pid": %d, "how": "%s"}\n' \
        "$now" "$1" "$TASKRUN_TASK_ID" "$TASKRUN_RUN_ID" "$worker" $$ "$2" >> "$history"
}
note began ""
printf "%s:0:" "$number"
head -c "$width" /dev/zero | tr '\0' .
echo
note ended done
"""


def say(history: Recorder, clock: Clock, worker: str) -> Function:
    """The function behind the agent `say`."""

    async def speak(request: AgentRequest, sink: AgentSink) -> None:
        speech = Speech.parse(json.loads(request.input_json))
        who = {"task": request.task_id, "run": request.run_id, "worker": worker, "pid": os.getpid()}
        history.add("began", **who)
        how = "stopped"
        try:
            for index in range(speech.lines):
                await sink.text(speech.line(index))
                if speech.pause:
                    await clock.sleep_until(clock.now().mono + speech.pause)
                elif index % 64 == 0:
                    await asyncio.sleep(0)
            how = "done"
        finally:
            history.add("ended", how=how, **who)

    return speak


async def stamp(request: AgentRequest, sink: AgentSink) -> None:
    """Says what time it is, so many times a second and for so many seconds, in chunks of 4 kB."""
    rate, seconds = json.loads(request.input_json)
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        await sink.text(f"{time.monotonic():.6f} ".ljust(4096, "."))
        await asyncio.sleep(began + number / rate - time.monotonic())


def agents_of(history: Path, worker_id: str) -> Callable[[WorkerSettings, Workshop], Sequence[Agent]]:
    """Makes this harness's agents, in place of the product's own."""

    def make(settings: WorkerSettings, workshop: Workshop) -> Sequence[Agent]:
        clock = WorkerContainer.clock()
        scripts = {"shout": _SHOUT, "blast": _BLAST}
        commands = [
            CommandAgent(CommandDefinition(name=name, command=("sh", "-c", script, str(history), worker_id)), workshop)
            for name, script in scripts.items()
        ]
        functions = {"say": say(History(history), clock, worker_id), "stamp": stamp}
        return [*(FunctionAgent(name, function) for name, function in functions.items()), *commands]

    return make


def main() -> None:
    """`python -m chaos.worker HISTORY WORKER-ID ...`, and then what `taskrun-worker` takes."""
    history, worker_id, *arguments = sys.argv[1:]
    WorkerContainer.agents.set_provides(agents_of(Path(history), worker_id))
    sys.argv = [sys.argv[0], *arguments]
    worker.main()


if __name__ == "__main__":
    main()
