"""The README's "Run it" works as it stands there: three shells in one directory."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskrun.apps.cli.children import Child
from tests.apps.places import PATIENCE, Site, ended

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "README.md").read_text().split("## Run it")[1].split("\n## ")[0]
PLANE, TOKEN, WORKER, FAR_PLANE, FAR_WORKER = re.findall(r"^```\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


class Shells:
    """They are all in one directory, as the README has it."""

    def __init__(self, directory: Path) -> None:
        self.site = Site(directory / "certs")
        self._directory = directory
        self._path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(self, block: str, **more: str) -> None:
        """To its end."""
        done = ended(["bash", "-ec", block], self._directory, self._path | more)
        assert done.returncode == 0, done.stderr

    def start(self, block: str, **more: str) -> Child:
        """The last command takes the shell's place, so that it is the one to be ended."""
        *first, last = block.strip().splitlines()
        script = "\n".join([f"cd {shlex.quote(str(self._directory))}", *first, f"exec {last}"])
        return self.site.child(last.split()[0], ["bash", "-ec", script], **self._path, **more)


@pytest.fixture
def shells(tmp_path: Path) -> Iterator[Shells]:
    shells = Shells(tmp_path)
    yield shells
    shells.site.close()


def test_the_three_shells_of_the_readme_are_all_it_takes(shells: Shells, tmp_path: Path) -> None:
    # The usual ports may be taken here.
    any_port = {"TASKRUN_GRPC_ADDR": "[::1]:0", "TASKRUN_HTTP_ADDR": "[::1]:0"}
    ready = shells.start(PLANE, **any_port).wait_for("ready", PATIENCE)
    shells.run(TOKEN, TASKRUN_ADDR=f"https://{ready['grpc_addr']}")
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0
    worker = shells.start(moved(WORKER, "[::1]:50052", ready["http_addr"]))
    assert worker.wait_for("connected", PATIENCE)["worker_id"] == "build-1"
    assert {path.name for path in (tmp_path / "worker-certs").iterdir()} >= {"worker.crt", "worker.key"}


def test_a_worker_elsewhere_needs_no_more_than_the_readme_says(shells: Shells, tmp_path: Path) -> None:
    init, _ = PLANE.splitlines()
    shells.run(init)
    plane = moved(moved(FAR_PLANE, ":50051", ":0"), ":50052", ":0")
    ready = shells.start(moved(plane, "plane.example.org", "localhost")).wait_for("ready", PATIENCE)
    grpc_port, http_port = (ready[name].rpartition(":")[2] for name in ("grpc_addr", "http_addr"))
    shells.run(TOKEN, TASKRUN_ADDR=f"https://localhost:{grpc_port}")
    (tmp_path / "ca.crt").write_bytes((tmp_path / "certs" / "ca.crt").read_bytes())
    worker = shells.start(
        moved(FAR_WORKER, "plane.example.org:50052", f"localhost:{http_port}"), TASKRUN_CERTS_DIR="elsewhere"
    )
    worker.wait_for(f"working for https://localhost:{grpc_port}", PATIENCE)
    assert worker.wait_for("connected", PATIENCE)["worker_id"] == "build-1"


def moved(block: str, usual: str, here: str) -> str:
    """The block with an address of this test's."""
    assert usual in block
    return block.replace(usual, here)
