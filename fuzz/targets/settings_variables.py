"""The variables of the control plane and of the worker: lines of NAME=VALUE."""

from __future__ import annotations

from contextlib import suppress

from fuzz.target import Target
from taskrun.apps.configuration import SettingRow, load, table
from taskrun.apps.settings import ControlPlaneSettings, WorkerSettings
from taskrun.domain.errors import TaskRunError


def _take(case: bytes) -> None:
    # As Python has the environment: what is no UTF-8 is there as half of a surrogate pair, and nothing holds a NUL.
    lines = case.replace(b"\x00", b"").decode(errors="surrogateescape").split("\n")
    environ = {name: value for name, _, value in (line.partition("=") for line in lines)}
    for program in (ControlPlaneSettings, WorkerSettings):
        with suppress(TaskRunError):
            load(program, {}, environ, None)


def _line(row: SettingRow) -> str:
    value = ",".join(row.default) if isinstance(row.default, tuple) else str(row.default)
    return f"{row.variable}={value}"


_ROWS = [row for program in (ControlPlaneSettings, WorkerSettings) for row in table(program) if row.variable]

TARGET = Target(
    _take,
    {
        "defaults": "\n".join(map(_line, _ROWS)).encode(),
        "labels": b"TASKRUN_LABELS=gpu=yes,zone=b",
        "addresses": b"TASKRUN_ADDR=https://a:50051,https://[::1]:50051",
        "store": b"TASKRUN_STORE=postgresql://user:secret@host/name",
        "size": b"TASKRUN_RETENTION_SIZE=10GiB",
        "duration": b"TASKRUN_HEARTBEAT=250ms",
        "path": b"TASKRUN_WORK_DIR=~/runs",
    },
)
