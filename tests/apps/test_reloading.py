"""Limits are read again on SIGHUP, and what cannot be read changes nothing."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.apps.places import PATIENCE, Site, send

CREATE = ("create-task", "--agent=nobody", "--input=1")


def test_limits_change_on_sighup_without_a_restart(site: Site, tmp_path: Path) -> None:
    config = tmp_path / "plane.toml"
    config.write_text("[[limits]]\nby = 'agent'\nwaiting = 1\n")
    plane = site.start(f"--config={config}")
    assert site.cli(*CREATE).returncode == 0
    refused = site.cli(*CREATE)
    assert refused.returncode != 0
    assert "The agent nobody has 1 of at most 1 tasks waiting" in refused.stderr

    config.write_text("[[limits]]\nby = 'agent'\nwaiting = -1\n")
    send(plane, signal.SIGHUP)
    kept = plane.wait_for("the limits stay as they were", PATIENCE)
    assert "`waiting` is -1" in kept["why"]
    assert site.cli(*CREATE).returncode != 0

    config.write_text("[[limits]]\nby = 'agent'\nwaiting = 2\n")
    send(plane, signal.SIGHUP)
    assert plane.wait_for("limits are read again", PATIENCE)["limits"] == "agent *: waiting 2"
    assert site.cli(*CREATE).returncode == 0
    assert site.cli(*CREATE).returncode != 0
