from __future__ import annotations

import pytest

from taskrun.adapters.agents.answer import flaw
from taskrun.adapters.agents.prompt import input_text, prompt_for, render
from taskrun.domain.errors import InvalidArgument
from taskrun.ports.agents import AgentRequest


@pytest.mark.parametrize(
    ("input_json", "text"),
    [
        ('"plain"', "plain"),
        ('{"a": 1}', '{"a": 1}'),
        ("[1,  2]", "[1,  2]"),
        ("null", "null"),
        ('""', ""),
        ("no JSON", "no JSON"),
    ],
)
def test_a_json_string_is_its_text_and_all_else_stays_as_it_was_written(input_json: str, text: str) -> None:
    assert input_text(input_json) == text


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        ("Do: {input}", 'Do: {"topic": "cats", "size": {"n": 3}}'),
        ("{input.topic} x {input.size}", 'cats x {"n": 3}'),
        ("{other} {0} {input!r} {input.size.n} {{}}", "{other} {0} {input!r} {input.size.n} {{}}"),
    ],
)
def test_a_template_fills_in_the_input_and_nothing_else(template: str, prompt: str) -> None:
    assert render(template, '{"topic": "cats", "size": {"n": 3}}') == prompt


def test_what_was_filled_in_is_not_a_template() -> None:
    assert render("<{input}>", '"{input} {input.key}"') == "<{input} {input.key}>"


@pytest.mark.parametrize("input_json", ['"text"', '{"other": 1}', "[1]"])
def test_an_input_without_the_key_is_refused(input_json: str) -> None:
    with pytest.raises(InvalidArgument, match="'topic'"):
        render("{input.topic}", input_json)


def test_a_template_is_for_the_first_turn_and_what_goes_on_with_a_session_is_said_as_it_is() -> None:
    first = AgentRequest("r", "t", '{"path": "a.py"}')
    assert prompt_for("Review {input.path}.", first) == "Review a.py."
    assert prompt_for("Review {input.path}.", AgentRequest("r", "t", '"Be brief."', session_id="s")) == "Be brief."


FORM = {"priority": ("low", "high"), "summary": ()}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"priority": "low", "summary": "s"}', ""),
        ('\n{"priority": "low", "summary": "s", "more": 1}\n', ""),
        ("Sure! {}", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "no JSON object"),
        ('{"priority": "low"}', "'summary'"),
        ('{"priority": "low", "summary": 3}', "'summary'"),
        ('{"priority": "soon", "summary": "s"}', "none of: low, high"),
    ],
)
def test_an_answer_has_the_promised_form_or_a_flaw(text: str, words: str) -> None:
    found = flaw(text, FORM)
    assert words in found
    assert bool(found) == bool(words)
