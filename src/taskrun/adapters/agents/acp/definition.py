"""What worker.toml says of an agent of kind `acp`."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from taskrun.adapters.agents.acp.session import MODE
from taskrun.adapters.agents.definition import Duration, Rule
from taskrun.adapters.agents.sessions.definition import SessionDefinition

Command = Annotated[tuple[str, ...], msgspec.Meta(description="a list of texts: the program and its arguments")]
#: By name, how each is started.
Servers = Annotated[
    dict[str, tuple[str, ...]],
    msgspec.Meta(description='a table of lists of texts, such as { files = ["files-server", "--stdio"] }'),
]


class AcpDefinition(SessionDefinition, frozen=True, kw_only=True):
    """Adds the program, what its session is set to, and what it may do when it asks."""

    REMARKS: ClassVar[tuple[Rule, ...]] = (
        (
            lambda agent: MODE not in agent.options and ("*" not in agent.allowed_tools or agent.disallowed_tools),
            "what it may not use is denied only where it asks, and no `mode` in `options` says that it does.",
        ),
    )
    RULES: ClassVar[tuple[Rule, ...]] = (
        (
            lambda agent: not "".join(agent.command[:1]),
            "`command` is missing: the program and its arguments, such as `command = ['opencode', 'acp']`.",
        ),
        (lambda agent: agent.start_timeout <= 0, "`start_timeout` must be more than 0."),
        (
            lambda agent: not all(name and "".join(command[:1]) for name, command in agent.mcp_servers.items()),
            "every server in `mcp_servers` needs a name and a command.",
        ),
    )

    kind: str = "acp"
    command: Command = ()
    prompt: str = "{input}"
    #: By id or category, as the agent calls them.
    options: dict[str, str] = msgspec.field(default_factory=dict)
    #: Kinds or names of tools, `*` allowed.
    allowed_tools: tuple[str, ...] = ()
    disallowed_tools: tuple[str, ...] = ()
    mcp_servers: Servers = msgspec.field(default_factory=dict)
    #: The method by which the agent is told to log in; "" = none.
    login: str = ""
    #: For everything before the prompt.
    start_timeout: Duration = 60.0
