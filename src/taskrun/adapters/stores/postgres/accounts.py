"""What limits count together, as the database knows it."""

from __future__ import annotations

from functools import lru_cache

from taskrun.adapters.stores.rows import pairs_json
from taskrun.domain.quotas import AGENT, AccountName, Figures
from taskrun.domain.records import Requirement


@lru_cache(maxsize=10_000)
def text_of(account: AccountName) -> str:
    """A name for it: equal ones have equal texts."""
    return pairs_json([account])


def texts_of(figures: Figures) -> list[str]:
    """A name for each of the accounts."""
    return [text_of(account) for account, _ in figures]


def accounts_of(requirement: Requirement) -> list[str]:
    """Every account in which a limit may count tasks of this requirement, now or later."""
    pairs = [(AGENT, requirement.agent), *requirement.share]
    return [text_of(AccountName(*pair)) for pair in pairs]
