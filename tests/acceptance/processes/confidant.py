"""The confidant, as a program that speaks JSON lines. Its sessions are files in the scenario's directory."""

from __future__ import annotations

import json
import sys
import time
import uuid
from pathlib import Path


def say(**line: object) -> None:
    print(json.dumps(line), flush=True)


def main(directory: Path, take_time: str, request: dict[str, str]) -> None:
    before = request["session_id"]
    session_id = before if before and not request["fork"] else str(uuid.uuid4())
    earlier = json.loads((directory / before).read_text()) if before else []
    told = [*earlier, request["input"]]
    (directory / session_id).write_text(json.dumps(told))
    say(type="session", id=session_id)
    if told[-1] == take_time:
        (directory / f"{take_time}.waiting").touch()
        while not (directory / f"{take_time}.finished").exists():
            time.sleep(0.05)
    say(type="result", text=", ".join(told))


main(Path(sys.argv[1]), sys.argv[2], json.loads(sys.stdin.readline()))
