from __future__ import annotations

import datetime
import subprocess
import sys
from typing import Any

import pytest

from taskrun.apps.agent_tables import read_agents
from taskrun.domain.errors import InvalidArgument


def read(**keys: Any) -> Any:
    [agent] = read_agents([{"name": "a", "kind": "openai", "model": "m", **keys}])
    return agent


def test_a_model_is_all_that_must_be_said() -> None:
    agent = read()
    assert (agent.api, agent.base_url_variable, agent.api_key_variable) == ("chat", "OPENAI_BASE_URL", "OPENAI_API_KEY")


def test_all_keys_are_read() -> None:
    agent = read(api="responses", temperature=0, silence="2m", body={"top_p": 0.5}, headers={"X-Title": "two words"})
    assert (agent.api, agent.temperature, agent.silence, agent.body["top_p"]) == ("responses", 0.0, 120.0, 0.5)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"model": ""}, "`model` is missing"),
        ({"api": "completions"}, '"chat" or "responses"'),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"working_directory": "/srv"}, "means nothing"),
        ({"max_output_tokens": -1}, "max_output_tokens"),
        ({"silence": 0}, "silence"),
        ({"body": {"stream": False}}, "what a request is made of"),
        ({"body": {"since": datetime.date(2027, 1, 1)}}, "JSON"),
        ({"body": {"x": float("nan")}}, "JSON"),
        ({"headers": {"a b": "c"}}, "no header"),
        ({"headers": {"a": "c\nd: e"}}, "no header"),
    ],
)
def test_what_makes_no_sense_is_refused(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        read(**keys)


def test_without_httpx_it_is_said_what_is_missing() -> None:
    """In a Python of its own: here it is loaded already."""
    code = (
        "import sys; sys.modules['httpx'] = None; from taskrun.adapters.agents.kinds import find_kind as f; f('openai')"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "cannot be used here: it needs httpx, which `pip install taskrun[openai]` brings." in ended.stderr
