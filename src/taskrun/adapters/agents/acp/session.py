"""How an agent gets its session: which request opens it, and which ones set it up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from taskrun.adapters.agents import loose
from taskrun.adapters.agents.acp.peer import Json
from taskrun.domain.status import FailureKind

NEW, LOAD, RESUME, FORK = "session/new", "session/load", "session/resume", "session/fork"

#: Options that have a meaning beyond their agent.
MODEL, MODE = "model", "mode"


class Unfit(Exception):
    """The agent cannot do what its definition or the run asks of it; the message says what."""

    def __init__(self, failure: FailureKind, message: str) -> None:
        super().__init__(message)
        self.failure = failure


def keeps_sessions(able: Json) -> bool:
    """Whether an agent with these capabilities can go on with a session in another process."""
    return able.get("loadSession") is True or _offers(able, "resume")


def opening(able: Json, session_id: str, *, fork: bool) -> str:
    """The method that opens the session asked for. Raises `Unfit`.

    To resume goes before to load: that tells all that was said before once more, and nobody wants it.
    """
    if not session_id:
        return NEW
    if fork and _offers(able, "fork"):
        return FORK
    if not fork and _offers(able, "resume"):
        return RESUME
    if not fork and able.get("loadSession") is True:
        return LOAD
    raise cannot_go_on(session_id, "it has no way to go on with a copy" if fork else "it has no way to go on with one")


def cannot_go_on(session_id: str, why: object) -> Unfit:
    """What to raise when a session is not to be had: an answer without what was said in it would be a wrong one."""
    return Unfit(FailureKind.AGENT_UNAVAILABLE, f"This agent cannot go on with session {session_id}: {why}.")


def settings(session: Json, wanted: Mapping[str, str]) -> Iterator[tuple[str, Json]]:
    """The requests, without their session, that set options to what is wanted: an option goes by its id, or by its
    category. Raises `Unfit` if the agent has no such option."""
    offered = _options(session)
    for name, value in wanted.items():
        if option := _find(offered, name):
            yield "session/set_config_option", {"configId": option.get("id"), "value": value}
        elif name == MODE and session.get("modes"):
            yield "session/set_mode", {"modeId": value}
        else:
            names = ", ".join(str(option.get("id")) for option in offered) or "none"
            message = f"This agent has no option {name!r}; it has: {names}."
            raise Unfit(FailureKind.AGENT_UNAVAILABLE, message)


def model_of(session: Json) -> str:
    """The model that the session begins with; "" if the agent does not say."""
    return loose.text((_find(_options(session), MODEL) or {}).get("currentValue"))


def _offers(able: Json, capability: str) -> bool:
    """An empty object says yes."""
    return isinstance(loose.mapping(able.get("sessionCapabilities")).get(capability), dict)


def _options(session: Json) -> list[Json]:
    return loose.mappings(session.get("configOptions"))


def _find(options: list[Json], name: str) -> Json | None:
    return next((option for option in options if name in (option.get("id"), option.get("category"))), None)
