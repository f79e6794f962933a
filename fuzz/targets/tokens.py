"""Texts that we gave out and get back from anybody: page tokens of every list, bootstrap tokens, API keys."""

from __future__ import annotations

from contextlib import suppress

from fuzz.enrolling import KEY, TOKEN
from fuzz.target import Target
from taskrun.adapters.stores.certificate_pages import begin_of
from taskrun.adapters.stores.page_tokens import id_of_token, page_token
from taskrun.domain import api_keys, tokens
from taskrun.domain.certificates.certificate import CertificateQuery
from taskrun.domain.errors import InvalidArgument
from taskrun.domain.limits import checked_query
from taskrun.domain.records import TaskQuery


def _take(case: bytes) -> None:
    text = case.decode(errors="surrogateescape")
    with suppress(InvalidArgument):
        checked_query(TaskQuery(page_token=text))
    with suppress(InvalidArgument):
        assert page_token(id_of_token(text)) == text
    with suppress(InvalidArgument):
        issued_at_ms, _ = begin_of(CertificateQuery(page_token=text))
        assert 0 <= issued_at_ms < 2**63
    with suppress(InvalidArgument):
        assert tokens.compose(*tokens.split(text)) == text
    digest = api_keys.digest_of(text)
    assert digest is None or len(digest) == 32


TARGET = Target(
    _take,
    {
        "of_tasks": page_token("01a216aa-cceb-74cf-bf1e-946f53bb596a").encode(),
        "of_certificates": page_token("1700000000000:5f3a").encode(),
        "of_enrolment": TOKEN.encode(),
        "key": KEY.encode(),
    },
    max_bytes=2048,
)
