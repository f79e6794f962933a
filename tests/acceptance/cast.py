"""The agents that the features speak of. Whatever executes them, they say the same.

A *title* is a task's input. An agent that waits until its work on a title is finished does so at every attempt.
"""

from __future__ import annotations

PROVIDER = "anthropic"
MODEL = "claude-sonnet-4-5"

#: Answers at once.
GENERAL = "general"
#: Answers at once, with JSON.
SUPPORT_TRIAGE = "support_triage"
#: Says `BEGINNING`, waits until its work is finished, says `ENDING`. Real ones wait in the middle of a tool call.
STORYTELLER = "storyteller"
#: Waits until its work is finished and says nothing.
BUILDER = "builder"
#: Says how many bytes its input has.
COUNTER = "counter"
#: Fails.
CLUMSY = "clumsy"
#: Fails at a title for the first time, and does its work from then on.
FLAKY = "flaky"

#: Says all that it was ever told in its conversation, and remembers it. Told to `TAKE_TIME` it waits until its work on
#: that is finished.
CONFIDANT = "confidant"
TAKE_TIME = "Take your time"

ANSWER = "You said: {}"
BEGINNING = "Once upon a time there were {}."
ENDING = "They lived happily ever after."
