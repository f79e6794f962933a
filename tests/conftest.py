"""What holds for every test."""

from __future__ import annotations

import signal

import pytest
import pytest_timeout
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


#: Seconds for what follows a failure.
_AFTERWARDS = pytest_timeout.Settings(60.0, "signal", func_only=False, disable_debugger_detection=False)


@pytest.hookimpl(trylast=True)
def pytest_exception_interact(node: pytest.Item | pytest.Collector) -> None:
    """At a failure pytest-timeout stops its clock, for whoever debugs it: the fixtures could take for ever to end."""
    if isinstance(node, pytest.Item):
        node.ihook.pytest_timeout_set_timer(item=node, settings=_AFTERWARDS)


@pytest.fixture(autouse=True)
def audible() -> None:
    """The embedding silences the library for the whole process, whenever a test imports it first."""
    logger.enable("taskrun")
