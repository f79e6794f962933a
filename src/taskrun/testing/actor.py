"""A program that plays the acts of the agents' contract, for kinds of agents that are programs.

    python -m taskrun.testing.actor VOICE ACT

VOICE is how it speaks, one of VOICES; ACT is the name of an `Act`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from taskrun.testing.contracts.agent_acts import (
    AFTER,
    BEFORE,
    DENIED_COMMAND,
    FLOOD_BYTES,
    LONG_LINE_BYTES,
    LOOK,
    NASTY,
    PIECES,
    READY,
    REASON,
    STEPS,
    THOUGHT,
    TOOL_COMMAND,
    Act,
)

_BLOCK = "x" * 32 * 1024


class Voice:
    """How a program tells things; what a voice cannot say, its kind of agent cannot do."""

    def say(self, text: str) -> None:
        """A piece of output, at once."""
        raise NotImplementedError

    def half(self) -> None:
        """The beginning of a message."""
        raise NotImplementedError

    def tool(self, command: str) -> str:
        """Has the shell do this, if it may, and tells so; returns what came of it."""
        raise NotImplementedError

    def asked(self, command: str) -> str:
        """Wants to have the shell do this, may not, and tells so; returns what is said of that."""
        raise NotImplementedError

    def think(self, text: str) -> None:
        """Something that is not for the answer."""
        raise NotImplementedError

    def plan(self, steps: Mapping[str, bool]) -> None:
        """What is to be done, and of each whether it is."""
        raise NotImplementedError

    def retry(self, error: str) -> None:
        """A call of the model failed for the first time, and is made again."""
        raise NotImplementedError

    def consumed(self) -> None:
        """Names a model, and counts its tokens."""

    def session(self) -> tuple[str, bool, str]:
        """The session to go on with, whether with a copy of it, and what is said in it now."""
        raise NotImplementedError

    def new_session(self) -> str:
        """The id of a session that begins."""
        return f"session-{uuid.uuid4()}"

    def in_session(self, session_id: str) -> None:
        """Names the session that this is."""

    def succeed(self) -> None:
        """It went well. Nothing comes after it."""

    def answer(self, text: str) -> None:
        """It went well, and this is the whole of what was said. Nothing comes after it."""
        raise NotImplementedError

    def fail(self, kind: str, reason: str) -> NoReturn:
        """It did not, and is over. `kind` is the word for a failure on the wire."""
        sys.exit(reason)


class PlainVoice(Voice):
    """For a program that knows of nothing: text on standard output, and an exit code."""

    def say(self, text: str) -> None:
        write(text.encode())


class JsonLinesVoice(Voice):
    """For kind `jsonl`."""

    def say(self, text: str) -> None:
        self._line("text", text=text)

    def half(self) -> None:
        write(b'{"type": "text", "te')

    def tool(self, command: str) -> str:
        self._line("tool_requested", tool="sh", id="1", input=command)
        answer = output_of(command)
        self._line("tool_completed", tool="sh", id="1", result_size=len(answer))
        return answer

    def asked(self, command: str) -> str:
        self._line("permission", tool="sh", id="1", input=command, allowed=False)
        return "I may not."

    def think(self, text: str) -> None:
        self._line("thought", text=text)

    def plan(self, steps: Mapping[str, bool]) -> None:
        self._line("plan", steps=[{"text": step, "done": done} for step, done in steps.items()])

    def retry(self, error: str) -> None:
        self._line("retry", error=error, attempt=1)

    def consumed(self) -> None:
        self._line("usage", model="scripted", input_tokens=3, output_tokens=5)

    def session(self) -> tuple[str, bool, str]:
        request = json.loads(sys.stdin.readline())
        return request["session_id"], request["fork"], request["input"]

    def in_session(self, session_id: str) -> None:
        self._line("session", id=session_id, provider="nobody", model="scripted")

    def succeed(self) -> None:
        self._line("result")

    def answer(self, text: str) -> None:
        self._line("result", text=text)

    def fail(self, kind: str, reason: str) -> NoReturn:
        self._line("result", failure=kind, error=reason)
        sys.exit(0)

    def _line(self, type: str, **fields: object) -> None:
        write(json.dumps({"type": type, **fields}).encode() + b"\n")


def output_of(command: str) -> str:
    """What the shell says."""
    return subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout


def write(data: bytes) -> None:
    """Bytes as they are, on standard output."""
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def stream(voice: Voice) -> None:
    """See `Act.STREAM`."""
    voice.consumed()
    for piece in PIECES:
        voice.say(piece)
    voice.succeed()


def in_a_session(voice: Voice) -> None:
    """See `Act.SESSION`."""
    voice.in_session(voice.new_session())
    stream(voice)


def using_tool(command: str) -> Callable[[Voice], None]:
    """See `Act.TOOL` and `Act.DENIED`."""

    def use(voice: Voice) -> None:
        voice.say(voice.tool(command))
        voice.succeed()

    return use


def asked(voice: Voice) -> None:
    """See `Act.ASKED`."""
    voice.say(voice.asked(DENIED_COMMAND))
    voice.succeed()


def think(voice: Voice) -> None:
    """See `Act.THINK`."""
    voice.think(THOUGHT)
    stream(voice)


def plan(voice: Voice) -> None:
    """See `Act.PLAN`."""
    first, *_ = STEPS
    voice.plan(dict.fromkeys(STEPS, False))
    voice.plan({step: step == first for step in STEPS})
    voice.succeed()


def retry(voice: Voice) -> None:
    """See `Act.RETRY`."""
    voice.retry(REASON)
    stream(voice)


def answer(voice: Voice) -> None:
    """See `Act.ANSWER`."""
    for piece in PIECES:
        voice.say(piece)
    voice.answer("".join(PIECES))


def half(voice: Voice) -> None:
    """See `Act.HALF`."""
    voice.say(BEFORE)
    voice.half()


def no_result(voice: Voice) -> None:
    """See `Act.NO_RESULT`."""
    for piece in PIECES:
        voice.say(piece)


def remember(voice: Voice) -> None:
    """See `Act.REMEMBER` and `Act.FORK`. A session is a file in the home directory."""
    wanted, fork, said = voice.session()
    old, new = _file(wanted), _file(voice.new_session() if fork or not wanted else wanted)
    if wanted and not old.exists():
        voice.fail("agent_unavailable", f"There is no session {wanted} here.")
    known = [*(old.read_text().splitlines() if wanted else ()), said]
    new.write_text("\n".join(known))
    voice.in_session(new.name)
    voice.say("\n".join(known))
    voice.succeed()


def _file(session_id: str) -> Path:
    return Path(os.environ["HOME"], session_id)


def long_line(voice: Voice) -> None:
    """See `Act.LONG_LINE`."""
    voice.say(BEFORE)
    write(b"x" * LONG_LINE_BYTES + b"\n")
    voice.say("x" * LONG_LINE_BYTES)
    voice.say(AFTER)
    voice.succeed()


def not_utf8(voice: Voice) -> None:
    """See `Act.NOT_UTF8`."""
    voice.say(BEFORE)
    write(b"\xff\xfe\xc3(\n")
    voice.say(AFTER)
    voice.succeed()


def flood(voice: Voice) -> None:
    """See `Act.FLOOD`."""
    for _ in range(FLOOD_BYTES // len(_BLOCK)):
        voice.say(_BLOCK)
    voice.succeed()


def hang(voice: Voice) -> None:
    """See `Act.HANG`."""
    voice.say(READY)
    while True:
        time.sleep(1000)


def nasty(voice: Voice) -> None:
    """See `Act.NASTY`."""
    voice.say(READY)
    os.execvp("sh", ["sh", "-c", NASTY])


def look(voice: Voice) -> None:
    """See `Act.LOOK`."""
    voice.say(output_of(LOOK))
    voice.succeed()


def failing(kind: str) -> Callable[[Voice], None]:
    """One of the acts that end with a failure."""
    return lambda voice: voice.fail(kind, REASON)


ACTS: dict[Act, Callable[[Voice], None]] = {
    Act.STREAM: stream,
    Act.MIDST: hang,
    Act.MODEL: stream,
    Act.USAGE: stream,
    Act.SESSION: in_a_session,
    Act.TOOL: using_tool(TOOL_COMMAND),
    Act.ASKED: asked,
    Act.THINK: think,
    Act.PLAN: plan,
    Act.RETRY: retry,
    Act.ANSWER: answer,
    Act.FAIL: failing("agent_error"),
    Act.UNAVAILABLE: failing("agent_unavailable"),
    Act.REFUSE: failing("refused"),
    Act.LIMIT: failing("limit_reached"),
    Act.BAD_OUTPUT: failing("bad_output"),
    Act.TIME_OUT: hang,
    Act.HALF: half,
    Act.NO_RESULT: no_result,
    Act.LONG_LINE: long_line,
    Act.NOT_UTF8: not_utf8,
    Act.FLOOD: flood,
    Act.HANG: hang,
    Act.NASTY: nasty,
    Act.LOOK: look,
    Act.DENIED: using_tool(DENIED_COMMAND),
    Act.REMEMBER: remember,
    Act.FORK: remember,
}

VOICES: dict[str, Callable[[], Voice]] = {"plain": PlainVoice, "jsonl": JsonLinesVoice}


def perform(voice: Voice, act: str) -> None:
    """Plays the act of this name."""
    ACTS[Act[act]](voice)


if __name__ == "__main__":
    perform(VOICES[sys.argv[1]](), sys.argv[2])
