from __future__ import annotations

import pytest

from taskrun.adapters.agents.acp.permission import CANCELLED, choose, decide
from taskrun.ports.agent_events import Permission

ALLOWED, DENIED = Permission.ALLOWED, Permission.DENIED
ALL = ("reject_always", "reject_once", "allow_always", "allow_once")


@pytest.mark.parametrize(
    ("allowed", "denied", "decision"),
    [
        ((), (), DENIED),
        (("Read",), (), DENIED),
        (("Bash",), (), ALLOWED),
        (("execute",), (), ALLOWED),
        (("*",), (), ALLOWED),
        (("bash",), (), DENIED),
        (("execute",), ("Bash",), DENIED),
        (("*",), ("exec*",), DENIED),
        ((), ("Bash",), DENIED),
    ],
)
def test_a_tool_goes_by_its_name_and_by_its_kind(
    allowed: tuple[str, ...], denied: tuple[str, ...], decision: Permission
) -> None:
    assert decide(("Bash", "execute"), allowed, denied) is decision


def test_a_tool_without_a_name_is_denied() -> None:
    assert decide((), ("*",), ()) is DENIED


@pytest.mark.parametrize(
    ("decision", "kinds", "chosen"),
    [
        (ALLOWED, ALL, "allow_once"),
        (ALLOWED, ("reject_once", "allow_always"), "allow_always"),
        (DENIED, ALL, "reject_once"),
        (DENIED, ("allow_once", "reject_always"), "reject_always"),
    ],
)
def test_what_is_decided_again_next_time_is_chosen_first(
    decision: Permission, kinds: tuple[str, ...], chosen: str
) -> None:
    options = [{"optionId": f"id of {kind}", "kind": kind} for kind in kinds]
    answer = {"outcome": {"outcome": "selected", "optionId": f"id of {chosen}"}}
    assert choose(decision, options) == (decision, answer)


def test_who_cannot_be_told_yes_is_told_no() -> None:
    options = [{"optionId": "n", "kind": "reject_once"}]
    assert choose(ALLOWED, options) == (DENIED, {"outcome": {"outcome": "selected", "optionId": "n"}})


@pytest.mark.parametrize("options", [[], None, "?", [7, {}], [{"kind": ["allow_once"], "optionId": "y"}]])
@pytest.mark.parametrize("decision", [ALLOWED, DENIED])
def test_who_cannot_be_told_anything_is_told_to_stop(decision: Permission, options: object) -> None:
    assert choose(decision, options) == (DENIED, CANCELLED)
