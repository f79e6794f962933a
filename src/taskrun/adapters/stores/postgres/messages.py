"""Messages for runs of other control planes: rows that are gone with whoever left them.

What a message's task says is compared in the statement that reads the message: its owner's commits hold the task's row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from taskrun.adapters.stores.postgres.database import AsyncConnection
from taskrun.adapters.stores.postgres.journey import Statement
from taskrun.adapters.stores.rows import task_of
from taskrun.domain.relayed import (
    AnswerMessage,
    ClaimMessages,
    CollectMessage,
    MessageAnswer,
    MessageAnswered,
    MessageAsk,
    MessageCollected,
    MessageRelayed,
    MessagesClaimed,
    Refusal,
    RelayedMessage,
    RelayMessage,
)

_RELAY = """
    INSERT INTO messages (sender, id, task_id, run_id, message)
    SELECT %b::int8, %b::text, id, %b::text, %b::text FROM tasks
    WHERE id = %b::text AND status = 'RUNNING' AND owner <> %b::int8
    RETURNING id
"""
#: One that is being taken back, or claimed by another, at this moment is passed over.
_CLAIM = """
    WITH open AS MATERIALIZED (
        SELECT place, claimed_by FROM messages JOIN tasks ON tasks.id = task_id
        WHERE owner = %b::int8 AND status = 'RUNNING' AND NOT answered AND claimed_by IS DISTINCT FROM %b::int8
        FOR UPDATE OF messages SKIP LOCKED
    ), claimed AS (
        UPDATE messages SET claimed_by = %b::int8 FROM open WHERE messages.place = open.place
        RETURNING messages.place, sender, id, task_id, run_id, message, open.claimed_by IS NOT NULL AS again
    )
    SELECT sender, id, task_id, run_id, message, again FROM claimed ORDER BY place
"""
_ANSWER = """
    UPDATE messages SET answered = true, refusal = nullif(%b::text, ''), why = %b::text
    WHERE sender = %b::int8 AND id = %b::text
        AND EXISTS (SELECT FROM tasks WHERE tasks.id = task_id AND owner = %b::int8)
"""
#: The task's row is locked by then, so that what its owner says of both is read as a whole.
_COLLECT = """
    WITH collected AS (
        DELETE FROM messages WHERE sender = %b::int8 AND id = %b::text
        RETURNING task_id, claimed_by IS NOT NULL AS claimed, refusal, why
    )
    SELECT tasks.id, birth, state, claimed, refusal, why FROM collected JOIN tasks ON tasks.id = task_id
"""
_WAIT = """
    SELECT EXISTS (
        SELECT FROM messages JOIN tasks ON tasks.id = task_id
        WHERE owner = %(owner)s AND status = 'RUNNING' AND NOT answered AND claimed_by IS DISTINCT FROM %(owner)s
    )
"""
#: Who has a task that runs answers by itself. Of one that does not there is nobody to do so.
_ANSWERED = """
    SELECT messages.id FROM messages LEFT JOIN tasks ON tasks.id = task_id
    WHERE sender = %s AND (answered OR status IS DISTINCT FROM 'RUNNING') ORDER BY place
"""


def asked(ask: MessageAsk, owner: int) -> Statement:
    """The question as a statement of the owner's commit. Messages are kept as JSON: they may hold any character."""
    match ask:
        case RelayMessage():
            return _RELAY, [owner, ask.id, ask.run_id, json.dumps(ask.message), ask.task_id, owner]
        case ClaimMessages():
            return _CLAIM, [owner, owner, owner]
        case AnswerMessage():
            refusal = ask.refusal or Refusal("", "")
            return _ANSWER, [refusal.kind, refusal.why, ask.message.sender, ask.message.id, owner]
        case CollectMessage():
            return _COLLECT, [owner, ask.id]


def answer(ask: MessageAsk, rows: Sequence[tuple[Any, ...]]) -> MessageAnswer:
    """What its rows say."""
    match ask:
        case RelayMessage():
            return MessageRelayed(ask, bool(rows))
        case ClaimMessages():
            return MessagesClaimed(ask, tuple(_claimed(*row) for row in rows))
        case AnswerMessage():
            return MessageAnswered(ask)
        case CollectMessage() if rows:
            [(*task, claimed, kind, why)] = rows
            return MessageCollected(ask, task_of(*task), claimed, Refusal(kind, why) if kind else None)
        case CollectMessage():
            return MessageCollected(ask, None)


async def wait_for(connection: AsyncConnection, owner: int) -> bool:
    """Whether there are messages that the owner has to claim."""
    [[waiting]] = await (await connection.execute(_WAIT, {"owner": owner})).fetchall()
    return bool(waiting)


async def answered(connection: AsyncConnection, owner: int) -> Sequence[str]:
    """Messages that the owner has left and of which there is something to know, in the order in which it left them."""
    return [id for (id,) in await (await connection.execute(_ANSWERED, [owner])).fetchall()]


def _claimed(sender: int, id: str, task_id: str, run_id: str, message: str, again: bool) -> RelayedMessage:
    return RelayedMessage(sender, id, task_id, run_id, json.loads(message), again)
