"""One `[[agents]]` table of worker.toml, checked: the keys of every agent. A kind adds its own in a subclass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, ClassVar

import msgspec

from taskrun.adapters.agents.containment.environment import OURS
from taskrun.adapters.agents.prices import Prices
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.limits import MAX_TIMEOUT_MS, check_agent_name, check_labels

#: Seconds. A description completes the sentence "It must be ...", where the type alone does not say it well.
Duration = Annotated[float, msgspec.Meta(description="a duration such as 90, 90s, 10m or 1h")]

#: Whether something is the case, such as that a definition is wrong, and what is to be said then.
Rule = tuple[Callable[[Any], bool], str]

#: For kinds that say by which of the worker's variables an endpoint is reached. One of its own would never pass.
REACHABLE: Rule = (
    lambda agent: any(not name or name.startswith(OURS) for name in (agent.base_url_variable, agent.api_key_variable)),
    f"`base_url_variable` and `api_key_variable` each name a variable, and none that begins with {OURS}.",
)

_MAX_TIMEOUT = MAX_TIMEOUT_MS / 1000


class AgentDefinition(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An agent as a worker's owner describes it. Raises ValueError for what makes no sense.

    `docs/agents.md` says what each key means.
    """

    #: What is no mistake, but may not be what its owner thinks; those of a subclass come on top of its base's.
    REMARKS: ClassVar[tuple[Rule, ...]] = ()
    #: What must not be; as above.
    RULES: ClassVar[tuple[Rule, ...]] = (
        (
            lambda agent: not 0 < agent.timeout <= _MAX_TIMEOUT,
            f"`timeout` must be more than 0 and at most {_MAX_TIMEOUT:.0f} seconds.",
        ),
        (
            lambda agent: any(name.startswith(OURS) for name in (*agent.environment, *agent.set_environment)),
            f"variables that begin with {OURS} are the worker's own.",
        ),
        (
            lambda agent: any(not name or "=" in name for name in agent.set_environment),
            "a variable in `set_environment` needs a name, without `=`.",
        ),
        # Any of it may become an argument or a variable of a program.
        (lambda agent: any("\0" in text for text in _texts(msgspec.to_builtins(agent))), "no value may hold a NUL."),
    )

    name: str
    kind: str
    description: str = ""
    labels: dict[str, str] = {}
    #: For one run.
    timeout: Duration = 3600.0
    #: "" = a fresh one for each run.
    working_directory: str = ""
    #: Names of the worker's variables that may pass, `*` allowed.
    environment: tuple[str, ...] = ()
    #: Variables with their values.
    set_environment: dict[str, str] = {}
    #: By a model's name, `*` allowed. They go before what the agent estimates.
    prices: Prices = {}

    def __post_init__(self) -> None:
        try:
            check_agent_name(self.name)
            check_labels(self.labels)
        except InvalidArgument as error:
            raise ValueError(error.message) from error
        for message in self._said_by("RULES"):
            raise ValueError(message)

    def remarks(self) -> Iterator[str]:
        """What its owner should hear when the worker starts, a sentence each."""
        return self._said_by("REMARKS")

    def _said_by(self, rules: str) -> Iterator[str]:
        for owner in reversed(type(self).__mro__):
            for is_so, message in vars(owner).get(rules, ()):
                if is_so(self):
                    yield f"Agent {self.name}: {message}"


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.items():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
