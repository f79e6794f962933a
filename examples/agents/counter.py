"""An agent of kind `jsonl` in Python: it reads a text, uses a tool of its own, and says how many words there are."""

import json
import sys


def tell(type: str, **fields: object) -> None:
    print(json.dumps({"type": type, **fields}), flush=True)


def count(text: str) -> int:
    tell("tool_requested", tool="count", input=text[:200])
    words = len(text.split())
    tell("tool_completed", tool="count", result_size=len(str(words)))
    return words


request = json.loads(sys.stdin.readline())
if not isinstance(request["input"], str):
    tell("result", failure="refused", error="I count the words of a text, and of nothing else.")
else:
    tell("text", text="Let me count. ")
    tell("text", text=f"There are {count(request['input'])} words.")
    tell("result")
