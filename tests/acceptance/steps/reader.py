"""Somebody who watches a task."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from taskrun.domain.records import OutputSegment, StoryEntry


class Reader:
    """Reads a story and keeps what was read; output is kept chunk by chunk, however it came."""

    def __init__(self, story: Generator[Sequence[StoryEntry], None, None]) -> None:
        self._story = story
        self.entries: list[StoryEntry] = []

    def read_until_said(self, text: str) -> None:
        """Reads on until the last run has said the text."""
        while text not in self.output():
            assert self._read(), f"The story ended; its output is {self.output()!r}."

    def read_to_end(self) -> None:
        """Reads on until there is nothing more."""
        while self._read():
            pass

    def come_back(self, story: Generator[Sequence[StoryEntry], None, None]) -> None:
        """Goes on with another watch."""
        self._story = story

    def close(self) -> None:
        """Goes away."""
        self._story.close()

    @property
    def next_seq(self) -> int:
        """Where to go on."""
        return self.entries[-1].next_seq if self.entries else 0

    def outputs(self) -> dict[str, str]:
        """What was said, by run."""
        outputs: dict[str, str] = {}
        for entry in self.entries:
            if isinstance(entry.body, OutputSegment):
                outputs[entry.body.run_id] = outputs.get(entry.body.run_id, "") + "".join(entry.body.contents)
        return outputs

    def output(self) -> str:
        """What the last run said."""
        return next(reversed(self.outputs().values()), "")

    def _read(self) -> bool:
        entries = next(self._story, None)
        self.entries.extend(single for entry in entries or () for single in _singles(entry))
        return entries is not None


def _singles(entry: StoryEntry) -> list[StoryEntry]:
    """The entry, an output segment as one for each chunk: how chunks travel together is nobody's promise."""
    body = entry.body
    if not isinstance(body, OutputSegment) or not body.contents:
        return [entry]
    return [
        StoryEntry(
            entry.seq + index,
            entry.at_ms,
            OutputSegment(body.run_id, body.first_seq + index, (content,), body.metadata, body.truncated),
        )
        for index, content in enumerate(body.contents)
    ]
