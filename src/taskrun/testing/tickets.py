"""Support tickets, triaged as a sensible person would, by their keywords: what the scripted model answers them with."""

from __future__ import annotations

import json
import re

_PRIORITIES = (
    ("urgent", r"outage|down\b|data loss|breach|security|production|cannot (log|sign) in|urgent"),
    ("high", r"error|crash|fail|broken|charged twice|blocked"),
    ("low", r"question|how (do|can)|feature|would be nice|typo"),
)
_CATEGORIES = (
    ("billing", r"invoice|charge|refund|payment|billing|price"),
    ("access", r"log ?in|sign ?in|password|account|permission|2fa"),
    ("bug", r"error|crash|bug|fail|broken|down\b|outage"),
    ("feature_request", r"feature|would be nice|please add|support for"),
)
_ACTIONS = {
    "billing": "Compare the customer's invoice with the payment records and answer with the result.",
    "access": "Check the account's state and send a recovery link to the address on file.",
    "bug": "Reproduce the problem and hand it to the engineer on duty with the steps.",
    "feature_request": "Thank the customer and add the wish to the product board.",
    "other": "Ask the customer for details.",
}


def triage(ticket: str) -> dict[str, str]:
    """What a sensible person would say about a ticket, by its keywords."""
    category = _first(_CATEGORIES, ticket, "other")
    return {
        "priority": _first(_PRIORITIES, ticket, "medium"),
        "category": category,
        "summary": " ".join(ticket.split())[:160],
        "suggested_action": _ACTIONS[category],
    }


def ticket_in(prompt: str) -> str:
    """The ticket's words, also of one that comes as a JSON object."""
    try:
        ticket = json.loads(prompt)
    except ValueError:
        return prompt
    texts = [value for value in ticket.values() if isinstance(value, str)] if isinstance(ticket, dict) else []
    return ". ".join(texts) or prompt


def _first(table: tuple[tuple[str, str], ...], text: str, otherwise: str) -> str:
    return next((word for word, pattern in table if re.search(pattern, text, re.IGNORECASE)), otherwise)
