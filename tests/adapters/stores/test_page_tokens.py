from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskrun.adapters.stores.page_tokens import id_of_token, page_token
from taskrun.domain.errors import InvalidArgument


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_token_leads_back_to_its_id(last_id: str) -> None:
    assert id_of_token(page_token(last_id)) == last_id


@given(st.text())
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        id_of_token(text)


@pytest.mark.parametrize(
    "token", [page_token(""), page_token("t1") + "=", "\n" + page_token("t1"), page_token("t")[:-1]]
)
def test_nearly_a_token_is_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        id_of_token(token)
