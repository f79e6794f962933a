"""What was said so far, in a file of the session's directory: the API is told all of it with each turn."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

_FILE = "conversation.json"


class Message(msgspec.Struct, frozen=True):
    """One turn of one side."""

    role: Literal["user", "assistant"]
    content: str


class Conversation(msgspec.Struct, frozen=True):
    """Frozen: a turn that fails leaves it as it was."""

    messages: tuple[Message, ...] = ()

    def asked(self, prompt: str) -> tuple[Message, ...]:
        """All that the model is told when it is asked this."""
        return (*self.messages, Message("user", prompt))

    def after(self, prompt: str, answer: str) -> Conversation:
        """With one turn more."""
        return Conversation((*self.asked(prompt), Message("assistant", answer)))


def load(directory: Path) -> Conversation:
    """What was saved there. Raises OSError, and `msgspec.DecodeError` for what is no conversation."""
    return msgspec.json.decode((directory / _FILE).read_bytes(), type=Conversation)


def save(directory: Path, conversation: Conversation) -> None:
    """Whole or not at all. Raises OSError."""
    draft = directory / f"{_FILE}.new"
    draft.write_bytes(msgspec.json.encode(conversation))
    draft.replace(directory / _FILE)
