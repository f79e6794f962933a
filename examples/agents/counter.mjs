// An agent of kind `jsonl` in Node: it reads a text, uses a tool of its own, and says how many words there are.
import { readFileSync } from "node:fs";

const tell = (type, fields = {}) => console.log(JSON.stringify({ type, ...fields }));

function count(text) {
  tell("tool_requested", { tool: "count", input: text.slice(0, 200) });
  const words = text.split(/\s+/).filter(Boolean).length;
  tell("tool_completed", { tool: "count", result_size: String(words).length });
  return words;
}

const request = JSON.parse(readFileSync(0, "utf8"));
if (typeof request.input !== "string") {
  tell("result", { failure: "refused", error: "I count the words of a text, and of nothing else." });
} else {
  tell("text", { text: "Let me count. " });
  tell("text", { text: `There are ${count(request.input)} words.` });
  tell("result");
}
