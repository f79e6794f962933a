"""The cast as Claude Code with a scripted model behind it, and as commands where no model is needed.

Whoever waits for the work on a title to be finished makes a file `TITLE.waiting` and looks for `TITLE.finished`.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from taskrun.testing.model_scripts import Fail, ModelRequest, Reply, Say, UseTool, default_script
from tests.acceptance import cast

_CONFIDANT = Path(__file__).with_name("confidant.py")
_WAIT = 'touch "$1.waiting"; until [ -e "$1.finished" ]; do sleep 0.05; done'


class Company:
    """The agents of one scenario; its files are in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parts: dict[str, Callable[[ModelRequest, str], Reply]] = {
            cast.GENERAL: lambda request, title: Say(cast.ANSWER.format(title)),
            cast.STORYTELLER: self._storyteller,
            cast.CLUMSY: lambda request, title: Fail(400, "It fell down."),
        }

    # In the workers' processes.

    def definitions(self, names: Sequence[str]) -> str:
        """A worker's configuration with these agents; `support_triage` is built in."""
        own = [{"name": name, **self._definition(name)} for name in names if name != cast.SUPPORT_TRIAGE]
        return "".join(f"[[agents]]\n{_keys(definition)}\n" for definition in own)

    def _definition(self, name: str) -> dict[str, object]:
        if name in self._parts:
            # The agent's name comes first, so that the script knows who asks.
            return {
                "kind": "claude-code",
                "model": cast.MODEL,
                "prompt": f"{name}: {{input}}",
                "allowed_tools": ["Bash"],
            }
        directory = str(self._directory)
        if name == cast.CONFIDANT:
            return {"kind": "jsonl", "command": [sys.executable, str(_CONFIDANT), directory, cast.TAKE_TIME]}
        return {"kind": "command", "command": self._commands()[name]}

    def _commands(self) -> dict[str, list[str]]:
        directory = str(self._directory)
        return {
            cast.BUILDER: ["sh", "-c", f'set -- "$0/$(cat)"; {_WAIT}', directory],
            cast.COUNTER: ["wc", "-c"],
            cast.FLAKY: ["sh", "-c", '! mkdir "$0/$(cat).failed"', directory],
        }

    def finish(self, title: str) -> None:
        """The work on the title is finished."""
        (self._directory / f"{title}.finished").touch()

    def is_waiting(self, title: str) -> bool:
        """Whether somebody waits for that."""
        return (self._directory / f"{title}.waiting").exists()

    # In the model.

    def script(self, request: ModelRequest) -> Reply:
        """What the model says."""
        name, _, title = request.prompt.partition(": ")
        part = self._parts.get(name)
        return part(request, title) if part else default_script(request)

    def _storyteller(self, request: ModelRequest, title: str) -> Reply:
        if request.tool_result is not None:
            return Say(cast.ENDING)
        command = f"set -- {shlex.quote(str(self._directory / title))}; {_WAIT}"
        return UseTool("Bash", {"command": command, "description": "Wait"}, cast.BEGINNING.format(title))


def _keys(table: Mapping[str, object]) -> str:
    """In TOML; texts and lists of texts are written there as in JSON."""
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
