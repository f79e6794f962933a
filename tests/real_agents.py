"""Agents from elsewhere that the tests drive for real, where scripts/test could install them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taskrun.adapters.agents.claude_code import find_cli

CLAUDE_ACP = Path(__file__).parent / "npm" / "node_modules" / ".bin" / "claude-agent-acp"
NO_CLAUDE_ACP = "claude-agent-acp is not installed; scripts/test does it where there are npm and a registry"


def claude_acp() -> Mapping[str, Any]:
    """What the `[[agents]]` table of Claude's ACP agent needs: the CLI that is here, and the mode in which it asks."""
    return {
        "command": [str(CLAUDE_ACP)],
        "options": {"mode": "default"},
        "environment": ["ANTHROPIC_*"],
        "set_environment": {
            "CLAUDE_CODE_EXECUTABLE": find_cli(None) or "",
            "CLAUDE_CODE_MAX_RETRIES": "0",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
            "DISABLE_TELEMETRY": "1",
            "DISABLE_AUTOUPDATER": "1",
        },
    }
