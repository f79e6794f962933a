"""The control plane's process, and what stays the same from scenario to scenario."""

from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path

from taskrun.adapters.grpc.client import Client
from taskrun.adapters.grpc.tls import ClientTls
from tests.acceptance.processes.program import LoggedProgram, call
from tests.acceptance.samples import samples

#: Real seconds after which a worker that says nothing is cut off.
SILENCE = 4
#: Real seconds after which a worker that is away is lost. It stops its own runs after RESUME and a heartbeat.
GRACE = 6
RESUME = 2


class ControlPlaneProcess:
    """A context manager: a control plane with certificates of its own, and the client's connection to it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        #: Where the certificates of enrolled workers are, by id.
        self.identities: dict[str, Path] = {}

    def __enter__(self) -> ControlPlaneProcess:
        self.certs = certs = self.directory / "certs"
        call("taskrun", "init", "--dir", str(certs))
        self._program = LoggedProgram(
            "taskrun-control-plane",
            [
                *("--grpc-addr", "[::1]:0", "--http-addr", "[::1]:0", "--certs-dir", str(certs)),
                *("--data-dir", str(self.directory / "data")),
                *("--silence-timeout", str(SILENCE), "--worker-grace", str(GRACE)),
            ],
        )
        ready = self._program.wait_for("ready")
        self.grpc_url, self.http_url = f"https://{ready['grpc_addr']}", f"http://{ready['http_addr']}"
        self.grpc_port = int(ready["grpc_addr"].rpartition(":")[2])
        self.client = Client(self.grpc_url, _tls(certs))
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        code = self._program.end(signal.SIGTERM)
        assert code == 0, self._program.log

    def create_token(self, worker_id: str) -> str:
        """A bootstrap token, made at the command line."""
        files = {"--ca-cert": "ca.crt", "--cert": "client.crt", "--key": "client.key"}
        connection = [word for flag, name in files.items() for word in (flag, str(self.certs / name))]
        made = call("taskrun", "--addr", self.grpc_url, *connection, "--json", "create-token", "--worker-id", worker_id)
        token = json.loads(made)["token"]
        assert isinstance(token, str)
        return token

    def create_client(self, name: str, role: str, directory: Path) -> ClientTls:
        """A client's certificate, made at the command line into `directory`."""
        call("taskrun", "create-client", name, "--role", role, "--dir", str(self.certs), "--to", str(directory))
        return _tls(directory)

    def metrics(self) -> dict[str, float]:
        """What a scrape shows."""
        with urllib.request.urlopen(f"{self.http_url}/metrics", timeout=30) as answer:
            return samples(answer.read().decode())


def _tls(directory: Path) -> ClientTls:
    return ClientTls(*((directory / name).read_bytes() for name in ("ca.crt", "client.crt", "client.key")))
