"""The actor of `taskrun.testing.actor` for kind `acp`.

python -m taskrun.testing.acp_actor ACT
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from taskrun.testing.actor import ACTS, Voice, output_of, write
from taskrun.testing.contracts.agent_acts import Act

Json = Mapping[str, Any]

_INITIALIZED = {
    "protocolVersion": 1,
    "agentCapabilities": {"sessionCapabilities": {"resume": {}, "fork": {}}},
    "agentInfo": {"name": "actor", "version": "1"},
}
_MODEL = {"id": "model", "category": "model", "currentValue": "scripted"}

#: How each failure is told: as an error with this code, or as a reason to stop.
_ERRORS = {"agent_error": -32603, "agent_unavailable": -32000}
#: What its client can answer when it asks for leave.
_YES, _NO = {"optionId": "yes", "kind": "allow_once"}, {"optionId": "no", "kind": "reject_once"}
_STATUSES = {True: "completed", False: "pending"}
_STOP_REASONS = {"refused": "refusal", "limit_reached": "max_tokens", "bad_output": "boredom"}


class AcpVoice(Voice):
    """Answers whatever comes before the prompt, and then speaks within the turn."""

    def __init__(self) -> None:
        self._wanted, self._fork, self._session = "", False, super().new_session()
        while (request := self._next())["method"] != "session/prompt":
            self._answer(request["id"], self._prepared(request["method"], request["params"]))
        self._turn = request["id"]
        self._said = request["params"]["prompt"][0]["text"].strip()
        self._usage: Json = {}

    def say(self, text: str) -> None:
        self._update("agent_message_chunk", content={"type": "text", "text": text})

    def half(self) -> None:
        write(b'{"jsonrpc": "2.0", "method": "session/up')

    def tool(self, command: str) -> str:
        call = {"toolCallId": "1", "title": "Run a command", "kind": "execute"}
        self._update("tool_call", **call, rawInput={"command": command})
        allowed = self._may(call)
        answer = output_of(command) if allowed else "I may not."
        status = "completed" if allowed else "failed"
        self._update("tool_call_update", **call, status=status, rawOutput=answer)
        return answer

    def asked(self, command: str) -> str:
        # It asks for leave with each call, and tells what came of it.
        return self.tool(command)

    def think(self, text: str) -> None:
        self._update("agent_thought_chunk", content={"type": "text", "text": text})

    def plan(self, steps: Mapping[str, bool]) -> None:
        told = [{"content": step, "priority": "low", "status": _STATUSES[done]} for step, done in steps.items()]
        self._update("plan", entries=told)

    def consumed(self) -> None:
        self._usage = {"inputTokens": 3, "outputTokens": 5}
        self._update("usage_update", used=8, size=1000, cost={"amount": 0.25, "currency": "USD"})

    def session(self) -> tuple[str, bool, str]:
        return self._wanted, self._fork, self._said

    def new_session(self) -> str:
        return self._session

    def succeed(self) -> None:
        self._answer(self._turn, {"stopReason": "end_turn", "usage": self._usage})

    def answer(self, text: str) -> None:
        # Its client gathers that by itself.
        self.succeed()

    def fail(self, kind: str, reason: str) -> NoReturn:
        if kind in _ERRORS:
            self._send(id=self._turn, error={"code": _ERRORS[kind], "message": reason})
        else:
            self._answer(self._turn, {"stopReason": _STOP_REASONS[kind]})
        sys.exit(0)

    def _prepared(self, method: str, params: Json) -> Json:
        """The answer to a request for a session, or to the first one of all."""
        if method == "initialize":
            return _INITIALIZED
        self._wanted, self._fork = params.get("sessionId", ""), method == "session/fork"
        if method == "session/resume":
            self._session = self._wanted
        return {"sessionId": self._session, "configOptions": [_MODEL]}

    def _may(self, call: Json) -> bool:
        """Asks for leave."""
        params = {"sessionId": self._session, "toolCall": call, "options": [_YES, _NO]}
        self._send(id="leave", method="session/request_permission", params=params)
        outcome: Json = self._next()["result"]["outcome"]
        return outcome.get("optionId") == _YES["optionId"]

    def _next(self) -> Json:
        request: Json = json.loads(sys.stdin.readline())
        return request

    def _update(self, kind: str, /, **fields: object) -> None:
        update = {"sessionUpdate": kind, **fields}
        self._send(method="session/update", params={"sessionId": self._session, "update": update})

    def _answer(self, id: object, result: Json) -> None:
        self._send(id=id, result=result)

    def _send(self, **message: object) -> None:
        write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")


if __name__ == "__main__":
    ACTS[Act[sys.argv[1]]](AcpVoice())
