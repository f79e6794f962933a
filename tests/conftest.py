"""What holds for every test."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, settings
from loguru import logger

from tests.ordinary_user import ordinary_user
from tests.postgres import _used_database, databases, emptied_url, postgres_server, postgres_url, proxy

__all__ = [
    "_used_database",
    "audible",
    "databases",
    "emptied_url",
    "ordinary_user",
    "postgres_server",
    "postgres_url",
    "proxy",
]

# What else the machine does says nothing of a test.
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")

# Started in the background, or by nohup, the tests and the programs that they start would ignore what ends them.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def audible() -> None:
    """The embedding silences the library for the whole process, whenever a test imports it first."""
    logger.enable("taskrun")
