"""For kinds of agents that ask a model: a scripted one plays the acts, whichever API it is asked by."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any, ClassVar

from taskrun.testing.contracts.agent_acts import (
    AFTER,
    BEFORE,
    FLOOD_BYTES,
    LONG_LINE_BYTES,
    PIECES,
    READY,
    REASON,
    THOUGHT,
    Act,
)
from taskrun.testing.contracts.agent_stage import AgentStage
from taskrun.testing.model_scripts import BreakOff, Fail, ModelRequest, Reply, Say, Script, Stall, UseTool, in_turn
from taskrun.testing.scripted_model import ScriptedModel, environ_of


def once(reply: Reply) -> Script:
    return lambda request: reply


def bash(command: str, before: str = "", after: str = "") -> Script:
    """Has the command run, and says what it answered, with more before and after."""

    def script(request: ModelRequest) -> Reply:
        if request.tool_result is None:
            return UseTool("Bash", {"command": command}, before)
        return Say(request.tool_result + after)

    return script


def remember(request: ModelRequest) -> Reply:
    return Say("\n".join(turn.text for turn in request.turns if turn.role == "user"))


ANSWER = Say("".join(PIECES))
SPEAK = once(ANSWER)

#: What the model does where nothing but words are needed.
WORDS: Mapping[Act, Script] = {
    Act.STREAM: SPEAK,
    Act.MIDST: once(Stall(READY)),
    Act.MODEL: SPEAK,
    Act.USAGE: SPEAK,
    Act.SESSION: SPEAK,
    Act.THINK: once(replace(ANSWER, thinking=THOUGHT)),
    Act.ANSWER: SPEAK,
    Act.FAIL: once(Fail(400, REASON)),
    Act.UNAVAILABLE: once(Fail(401)),
    Act.REFUSE: once(Say("I cannot help with that.", stop_reason="refusal")),
    Act.LIMIT: once(Fail(429, retry_after=3600)),
    Act.BAD_OUTPUT: once(Say("I would call it urgent.")),
    Act.TIME_OUT: once(Stall(READY)),
    Act.HALF: once(BreakOff(f"{BEFORE} I was about to")),
    Act.NO_RESULT: once(BreakOff("".join(PIECES))),
    Act.LONG_LINE: once(Say(f"{BEFORE}\n{'x' * LONG_LINE_BYTES}\n{AFTER}")),
    Act.NOT_UTF8: once(Say(f"{BEFORE}\udcff\udcfe\udcc3({AFTER}")),
    Act.HANG: once(Stall(READY)),
    Act.REMEMBER: remember,
    Act.FORK: remember,
}

#: Where one reply follows another, whatever is asked. A script that counts is made anew for each play.
TURNS: Mapping[Act, Sequence[Reply]] = {Act.RETRY: (Fail(529), ANSWER)}

#: Has the default script say that much.
FLOOD = {"prompt": f"[[flood: {FLOOD_BYTES}]]"}


class ModelElsewhere:
    """The default script in a process of its own, started when it is asked for: what that holds is not the worker's."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> ModelElsewhere:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def environ(self) -> Mapping[str, str]:
        """What turns agents to it."""
        words = [sys.executable, "-m", "taskrun.testing.scripted_model"]
        process = self._stack.enter_context(Popen(words, stdout=PIPE, text=True))
        self._stack.callback(process.terminate)
        assert process.stdout is not None
        return environ_of(process.stdout.readline().strip())


@contextmanager
def models() -> Iterator[tuple[ScriptedModel, ModelElsewhere]]:
    """Both that there are."""
    with ScriptedModel() as here, ModelElsewhere() as elsewhere:
        yield here, elsewhere


class ModelStage(AgentStage):
    """What the model does, and what else the agent's table has."""

    SCRIPTS: ClassVar[Mapping[Act, Script]] = WORDS
    TURNS: ClassVar[Mapping[Act, Sequence[Reply]]] = TURNS
    KEYS: ClassVar[Mapping[Act, Mapping[str, Any]]] = {
        Act.BAD_OUTPUT: {"answer": {"priority": []}},
        Act.FLOOD: FLOOD,
    }

    def __init__(self, place: Path, models: tuple[ScriptedModel, ModelElsewhere], common: Mapping[str, Any]) -> None:
        super().__init__(place)
        self._here, self._elsewhere = models
        self._common = common
        self._model: ScriptedModel | ModelElsewhere = self._here

    def environ(self) -> Mapping[str, str]:
        return {**super().environ(), **self._model.environ()}

    def keys(self, act: Act) -> Mapping[str, Any]:
        if act is Act.FLOOD:
            self._model = self._elsewhere
        else:
            self._here.script = in_turn(*self.TURNS[act]) if act in self.TURNS else self.SCRIPTS[act]
        return {**self._common, **self.KEYS.get(act, {})}
