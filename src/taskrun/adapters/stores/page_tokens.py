"""Page tokens: the id of a page's last task, in a form that is plainly not for reading."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

from taskrun.domain.errors import InvalidArgument

_MARK = "after"


def page_token(last_id: str) -> str:
    """The token of the page that follows the one that ends with this task."""
    return urlsafe_b64encode(f"{_MARK}:{last_id}".encode()).decode().rstrip("=")


def id_of_token(token: str) -> str:
    """The inverse of `page_token`. Raises `InvalidArgument` for anything else."""
    try:
        mark, last_id = urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode().split(":", 1)
    except ValueError:
        mark = last_id = ""
    # A lenient decoder takes many texts for one: only the one that we give out is good.
    if mark != _MARK or not last_id or page_token(last_id) != token:
        raise InvalidArgument("This is no page token: give the next_page_token of the page before.")
    return last_id
