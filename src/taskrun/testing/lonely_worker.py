"""A worker's process with one agent and no control plane, for whoever wants to kill it.

    python -m taskrun.testing.lonely_worker < ORDER

ORDER is JSON: the agent's `table` as in worker.toml, the worker's `environ`, `work_dir` and `stop_grace`, the `run_id`.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from taskrun.adapters.agents.definitions import make_agent
from taskrun.adapters.agents.kinds import find_kind
from taskrun.ports.agents import Agent, AgentRequest
from taskrun.testing.recording_sink import RecordingSink


def agent_of(order: Mapping[str, Any]) -> Agent:
    """The order's agent, made as a worker makes it."""
    table = order["table"]
    definition = msgspec.convert(table, find_kind(table["kind"]).definition)
    work_dir, environ, grace = Path(order["work_dir"]), order["environ"], order["stop_grace"]
    return make_agent(definition, work_dir=work_dir, environ=environ, stop_grace=grace)


def main() -> None:
    """Runs the agent once."""
    order = json.load(sys.stdin)
    asyncio.run(agent_of(order).run(AgentRequest(order["run_id"], "task-1", '"hello"'), RecordingSink()))


if __name__ == "__main__":
    main()
