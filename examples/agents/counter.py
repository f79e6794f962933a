"""An agent of kind `jsonl` in Python: it reads a text, uses a tool of its own, and says how many words there are."""

import json
import sys


def tell(type: str, **fields: object) -> None:
    print(json.dumps({"type": type, **fields}), flush=True)


text = json.loads(sys.stdin.readline())["input"]
if not isinstance(text, str):
    tell("result", failure="refused", error="I count the words of a text, and of nothing else.")
    sys.exit()
tell("text", text="Let me count. ")
tell("tool_requested", tool="count", input=text[:200])
words = str(len(text.split()))
tell("tool_completed", tool="count", result_size=len(words))
tell("text", text=f"There are {words} words.")
tell("result")
