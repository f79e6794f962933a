"""One Gherkin text, several ways to run it.

Each folder beside `steps` has a driver and a test module that runs all the features with it. A scenario tagged with the
name of such a folder, its reason in a comment beside the tag, is run by that one only.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.driver import Driver

# Before anything of them is imported.
pytest.register_assert_rewrite("tests.acceptance.steps")

from tests.acceptance.steps.scene import Scene  # noqa: E402

_HERE = Path(__file__).parent
_WAYS = ("in_process", "processes")
#: The modules of `steps` that hold steps.
_STEPS = (
    "conversations",
    "enrolment",
    "explaining",
    "limits",
    "listing",
    "metrics",
    "outcomes",
    "refusals",
    "roles",
    "tasks",
    "watching",
    "workers",
)


def pytest_configure(config: pytest.Config) -> None:
    for way in _WAYS:
        config.addinivalue_line("markers", f"{way}: a scenario that only makes sense there")
    for module in _STEPS:
        config.pluginmanager.import_plugin(f"tests.acceptance.steps.{module}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    elsewhere = [item for item in items if _HERE in item.path.parents and _belongs_elsewhere(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        items[:] = [item for item in items if item not in elsewhere]


def _belongs_elsewhere(item: pytest.Item) -> bool:
    ways = {way for way in _WAYS if item.get_closest_marker(way)}
    return bool(ways) and item.path.parent.name not in ways


@pytest.fixture
def scene(driver: Driver) -> Iterator[Scene]:
    scene = Scene(driver)
    yield scene
    scene.close()
