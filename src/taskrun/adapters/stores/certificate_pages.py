"""Pages of certificates: what every store reads out of a query, and what it makes of the rows that it found."""

from __future__ import annotations

from collections.abc import Sequence

from taskrun.adapters.stores.page_tokens import id_of_token, page_token
from taskrun.domain.certificates.certificate import Certificate, CertificatePage, CertificateQuery
from taskrun.domain.errors import InvalidArgument

_HEX = "0123456789abcdef"
#: Before this place all others come: the newest first.
_FIRST = (2**62, "")

#: A certificate's place in the list: when it was issued, and its serial.
Place = tuple[int, str]


def begin_of(query: CertificateQuery) -> Place:
    """What the page's certificates come after. Raises `InvalidArgument` for a token that is none."""
    if not query.page_token:
        return _FIRST
    issued_at, colon, serial = id_of_token(query.page_token).partition(":")
    if not colon or not issued_at.isdecimal() or len(issued_at) > 18 or serial.strip(_HEX):
        raise InvalidArgument("This is no page token: give the next_page_token of the page before.")
    return int(issued_at), serial


def page_of(found: Sequence[Certificate], limit: int) -> CertificatePage:
    """The page, of one more than it holds if there are more."""
    page = tuple(found[:limit])
    if len(found) <= limit:
        return CertificatePage(page)
    return CertificatePage(page, page_token(f"{page[-1].issued_at_ms}:{page[-1].serial}"))
