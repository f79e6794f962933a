"""One `[[agents]]` table of worker.toml, checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from taskrun.adapters.agents.containment.environment import OURS
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.limits import MAX_TIMEOUT_MS, check_agent_name, check_labels

Kind = Literal["claude-code", "command"]

_MAX_TIMEOUT = MAX_TIMEOUT_MS / 1000


class AgentDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent as a worker's owner describes it. Raises ValueError for what makes no sense.

    `docs/agents.md` says what each key means.
    """

    name: str
    kind: Kind
    description: str = ""
    labels: dict[str, str] = {}
    #: Seconds that one run may take.
    timeout: float = 3600.0
    #: "" = a fresh one for each run.
    working_directory: str = ""
    #: Names of the worker's variables that may pass, `*` allowed.
    environment: tuple[str, ...] = ()
    #: Variables with their values.
    set_environment: dict[str, str] = {}

    # For kind command.
    command: tuple[str, ...] = ()

    # For kind claude-code.
    #: "" = the input is the prompt.
    prompt: str = ""
    system_prompt: str = ""
    model: str = ""
    allowed_tools: tuple[str, ...] = ()
    disallowed_tools: tuple[str, ...] = ()
    #: 0 = no limit.
    max_turns: int = 0
    #: The answer is a JSON object: its keys, each with the values it may have (none named = any text).
    answer: dict[str, tuple[str, ...]] = {}

    def __post_init__(self) -> None:
        try:
            check_agent_name(self.name)
            check_labels(self.labels)
        except InvalidArgument as error:
            raise ValueError(error.message) from error
        for is_wrong, message in _RULES:
            if is_wrong(self):
                raise ValueError(f"Agent {self.name}: {message}")
        for kind, keys in _OWN_KEYS.items():
            for key in keys:
                if kind != self.kind and getattr(self, key):
                    raise ValueError(f"Agent {self.name}: `{key}` is for the kind {kind}, and this one is {self.kind}.")


#: Keys that mean something to one kind only.
_OWN_KEYS: dict[Kind, tuple[str, ...]] = {
    "claude-code": (*("prompt", "system_prompt", "model", "allowed_tools", "disallowed_tools", "max_turns", "answer"),),
    "command": ("command",),
}

_RULES: tuple[tuple[Callable[[AgentDefinition], bool], str], ...] = (
    (
        lambda agent: not 0 < agent.timeout <= _MAX_TIMEOUT,
        f"`timeout` must be more than 0 and at most {_MAX_TIMEOUT:.0f} seconds.",
    ),
    (
        lambda agent: agent.kind == "command" and not "".join(agent.command[:1]),
        "`command` is missing: the program and its arguments, such as `command = ['wc', '-w']`.",
    ),
    (
        lambda agent: agent.max_turns < 0,
        "`max_turns` must be 0, for no limit, or more.",
    ),
    (
        lambda agent: any(name.startswith(OURS) for name in (*agent.environment, *agent.set_environment)),
        f"variables that begin with {OURS} are the worker's own.",
    ),
    (
        lambda agent: any(not name or "=" in name for name in agent.set_environment),
        "a variable in `set_environment` needs a name, without `=`.",
    ),
    (
        lambda agent: any("\0" in text for text in _texts(agent)),
        "no value may hold a NUL character.",
    ),
)


def _texts(agent: AgentDefinition) -> tuple[str, ...]:
    """Everything that becomes an argument or a variable of a program."""
    return (
        *agent.command,
        *agent.set_environment,
        *agent.set_environment.values(),
        *agent.allowed_tools,
        *agent.disallowed_tools,
        *(agent.model, agent.system_prompt, agent.working_directory),
    )
