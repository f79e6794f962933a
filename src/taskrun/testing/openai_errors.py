"""What both of OpenAI's APIs have in common when they refuse: the body of an error, and the headers of a limit."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from taskrun.testing.model_scripts import Fail

#: Type and code for each HTTP status.
_KINDS = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def error_body(status: int, message: str) -> Mapping[str, Any]:
    """As the body of an answer, and as an event in a chat's stream."""
    kind, code = _KINDS.get(status, ("server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def limit_headers(fail: Fail) -> Mapping[str, str]:
    """When a limit is reset, as a duration from now."""
    if fail.resets_at is None:
        return {}
    seconds = max(0, round(fail.resets_at - time.time()))
    return {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": f"{seconds // 60}m{seconds % 60}s"}
