"""A home for one Codex session, and its settings, all of them ours.

`CODEX_HOME` is private, so nothing of the machine's own Codex set-up counts: no login, no settings, no servers, no
memory. The CLI keeps the session's story in it, which is why it is kept with the session.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from taskrun.adapters.agents.codex.definition import CodexDefinition

_OPENAI = "https://api.openai.com/v1"

_SETTINGS: Mapping[str, Any] = {
    "model_provider": "taskrun",
    # What the sandbox does not allow is denied: there is nobody to ask.
    "approval_policy": "never",
    "web_search": "disabled",
    # Its CLI keeps this tool back by default (seen with 0.163), and only by it the model makes a plan that is told.
    "tools.update_plan.enabled": True,
    "check_for_update_on_startup": False,
    # A directory's AGENTS.md is not what this agent was told by its owner.
    "project_doc_max_bytes": 0,
    "analytics.enabled": False,
    # /tmp is everybody's; the run has its own.
    "sandbox_workspace_write.exclude_slash_tmp": True,
    # Without this one an endpoint that is dead would be waited for, for ever.
    "features.unbounded_connection_retries": False,
    # What reaches beyond the run: other services, and what is remembered or runs on without it.
    **{f"features.{name}": False for name in ("apps", "plugins", "remote_plugin", "hooks", "goals", "multi_agent")},
}

#: An endpoint that is dead is known to be so within seconds.
TRIES = 3
_PROVIDER: Mapping[str, Any] = {
    "name": "taskrun",
    "wire_api": "responses",
    "request_max_retries": TRIES - 1,
    "stream_max_retries": TRIES - 1,
}


def furnish(home: Path, definition: CodexDefinition, variables: Mapping[str, str]) -> None:
    """Writes the settings; what the session left there stays. Raises OSError."""
    home.mkdir(mode=0o700, exist_ok=True)
    # An index of the stories by their whole paths: in a copy it would name the original's. The CLI makes it anew.
    for index in home.glob("*.sqlite*"):
        index.unlink()
    lines = (f"{name} = {_toml(value)}\n" for name, value in _settings(definition, variables))
    (home / "config.toml").write_text("".join(lines), errors="replace")


def _settings(definition: CodexDefinition, variables: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    yield from _SETTINGS.items()
    yield "sandbox_mode", definition.sandbox
    if definition.model:
        yield "model", definition.model
    if definition.system_prompt:
        yield "developer_instructions", definition.system_prompt
    # Its commands need no key, and whoever can make it run one would like to have it.
    yield "shell_environment_policy.exclude", [definition.api_key_variable]
    base_url = variables.get(definition.base_url_variable) or _OPENAI
    provider = {**_PROVIDER, "base_url": base_url, "stream_idle_timeout_ms": round(definition.silence * 1000)}
    if variables.get(definition.api_key_variable):
        provider["env_key"] = definition.api_key_variable
    for name, value in provider.items():
        yield f"model_providers.taskrun.{name}", value


def _toml(value: Any) -> str:
    """Texts, numbers, booleans and lists of them are written alike in both, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
