"""How long a turn lets others go first, so that it takes many inputs together where many come."""

from __future__ import annotations

import asyncio

from taskrun.engine.inbox import Inbox

#: What there is to do from which on more of it makes a turn hardly cheaper.
ENOUGH = 64
#: Rounds of the event loop without anything new after which nobody more is waited for: gRPC hands over one call in a
#: few rounds, however many it has. They cost an idle system some microseconds.
QUIET = 4


async def gather(inbox: Inbox) -> None:
    """Lets others go first while they bring something; ends at once when there is enough to do.

    Natural batching without a timer: who takes what is there takes one at a time, and pays a turn, a commit and a
    message to a worker for each.
    """
    quiet = 0
    while inbox.load < ENOUGH and quiet < QUIET:
        before = inbox.load
        await asyncio.sleep(0)
        quiet = 0 if inbox.load > before else quiet + 1
