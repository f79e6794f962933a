"""Who may call what, on gRPC and on HTTP: one table, and what it does not name is denied.

The names are those of the wire: a gRPC method's path, an HTTP method with the path of its route. `docs/security.md`
shows the table, drawn by `scripts/rights`.
"""

from __future__ import annotations

from collections.abc import Mapping

from taskrun.domain.errors import PermissionDenied, Unauthenticated
from taskrun.domain.identity import CLIENT_ROLES, Role

Roles = frozenset[Role]

_ADMINS: Roles = frozenset({Role.ADMIN})
_SUBMITTERS: Roles = _ADMINS | {Role.SUBMIT}
_READERS: Roles = _SUBMITTERS | {Role.READ}
_WORKERS: Roles = frozenset({Role.WORKER})
_ANYBODY: Roles = frozenset(Role)
_NO_ONE: Roles = frozenset()

#: Every gRPC method, and who may call it.
METHODS: Mapping[str, Roles] = {
    "/taskrun.v1.RunService/StreamConnect": _WORKERS,
    "/taskrun.v1.TaskService/CreateTask": _SUBMITTERS,
    "/taskrun.v1.TaskService/CreateTasks": _SUBMITTERS,
    "/taskrun.v1.TaskService/GetTask": _READERS,
    "/taskrun.v1.TaskService/ListTasks": _READERS,
    "/taskrun.v1.TaskService/CancelTask": _SUBMITTERS,
    "/taskrun.v1.TaskService/ContinueTask": _SUBMITTERS,
    "/taskrun.v1.TaskService/ExplainTask": _READERS,
    "/taskrun.v1.TaskService/WatchTask": _READERS,
    "/taskrun.v1.TaskService/CreateAndWatchTask": _SUBMITTERS,
    "/taskrun.v1.WorkerService/ListWorkers": _READERS,
    "/taskrun.v1.WorkerService/GetWorker": _READERS,
    "/taskrun.v1.WorkerService/CreateBootstrapToken": _ADMINS,
    "/taskrun.v1.CertificateService/RenewCertificate": _WORKERS,
    "/taskrun.v1.CertificateService/ListCertificates": _ADMINS,
    "/taskrun.v1.CertificateService/RevokeCertificates": _ADMINS,
    "/taskrun.v1.KeyService/CreateKey": _ADMINS,
    "/taskrun.v1.KeyService/ListKeys": _ADMINS,
    "/taskrun.v1.KeyService/RevokeKey": _ADMINS,
    "/grpc.health.v1.Health/Check": _READERS | _WORKERS,
    "/grpc.health.v1.Health/List": _READERS | _WORKERS,
    "/grpc.health.v1.Health/Watch": _READERS | _WORKERS,
}

#: Every HTTP route, and who may ask for it.
ROUTES: Mapping[str, Roles] = {
    "GET /": _ANYBODY,  # leads to the page, and says nothing
    "GET /health": _ANYBODY,
    "GET /metrics": _READERS,
    "GET /v1/workers": _READERS,
    "POST /v1/enroll": _ANYBODY,  # the bootstrap token is what lets in
    "GET /ui/workers": _READERS,
    "GET /ui/workers/live": _READERS,
    "GET /ui/assets/{name}": _READERS,
}

RIGHTS: Mapping[str, Roles] = {**METHODS, **ROUTES}


def is_open(call: str) -> bool:
    """Whether anybody may, so that nobody need be asked who it is."""
    return Role.NOBODY in RIGHTS.get(call, _NO_ONE)


def check_right(role: Role, call: str) -> None:
    """Raises `PermissionDenied` unless this role may; `Unauthenticated` if it might, were it known who that is."""
    allowed = RIGHTS.get(call, _NO_ONE)
    if role in allowed:
        return
    if role is Role.NOBODY:
        raise Unauthenticated("Say who you are.")
    least = next((each.value for each in CLIENT_ROLES if each in allowed), "")
    wanted = f": it takes {least}" if least and role in CLIENT_ROLES else ""
    raise PermissionDenied(f"The role {role.value} does not allow {call}{wanted}.")
