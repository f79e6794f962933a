"""The TOML files of the control plane and of the worker."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzz.target import Target
from taskrun.apps.configuration import load
from taskrun.apps.settings import ControlPlaneSettings, WorkerSettings
from taskrun.domain.errors import TaskRunError

_PLANE = """\
grpc_addr = "[::1]:50051"
http_addr = "0.0.0.0:50052"
advertise_addr = "https://plane.example.org:50051"
http_tls = true
http_host = ["plane.example.org", "192.0.2.7"]
data_dir = "~/data"
store = "sqlite:tasks.db"
retention_age = "7d"
retention_size = "10GiB"
worker_cert_life = 604800
silence_timeout = 45.0
log_format = "json"
log_level = "DEBUG"
fair_by = "client"

[[limits]]
by = "client"
waiting = 1000
running = 20
per_minute = 600

[[limits]]
by = "label:team"
value = "nightly"
running = 50
"""
_WORKER = """\
addr = ["https://a.example.org:50051", "https://b.example.org:50051"]
certs_dir = "certs"
labels = { gpu = "yes", zone = "b" }
max_concurrent_runs = 4
keep_sessions = "1.5h"
keep_sessions_size = 1000000
heartbeat = "250ms"
"""
_AGENTS = """\
[[agents]]
name = "reviewer"
kind = "claude-code"
prompt = "Review {input.path}."
allowed_tools = ["Read", "Bash(git *)"]
max_turns = 20
timeout = "15m"
labels = { team = "docs" }

[[agents]]
name = "classifier"
kind = "openai"
model = "a-model"
answer = { language = ["de", "en"], sure = [] }
temperature = 0.5
headers = { "X-Title" = "triage" }
body = { top_p = 0.5, stop = ["a", "b"] }

[[agents]]
name = "fixer"
kind = "codex"
sandbox = "read-only"
silence = 15

[[agents]]
name = "word_count"
kind = "command"
command = ["wc", "-w"]

[[agents]]
name = "own"
kind = "jsonl"
command = ["own"]
sessions = true

[[agents]]
name = "acp"
kind = "acp"
command = ["acp"]
options = { model = "m" }
mcp_servers = { files = ["files", "--root", "/srv"] }
"""


def _take(case: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "settings.toml")
        path.write_bytes(case)
        for program in (ControlPlaneSettings, WorkerSettings):
            with suppress(TaskRunError):
                load(program, {}, {}, path)


TARGET = Target(
    _take, {name: text.encode() for name, text in (("plane", _PLANE), ("worker", _WORKER), ("agents", _AGENTS))}
)
