from __future__ import annotations

import pytest

from taskrun.adapters.agents.openai.proxy import proxy_for

PROXY = "http://proxy:3128"


@pytest.mark.parametrize(
    ("variables", "proxy"),
    [
        ({}, None),
        ({"HTTPS_PROXY": PROXY}, PROXY),
        ({"https_proxy": PROXY, "HTTPS_PROXY": "http://other"}, PROXY),
        ({"HTTP_PROXY": PROXY}, None),
        ({"ALL_PROXY": PROXY}, PROXY),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "localhost, Example.com"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": ".example.com"}, None),
        ({"HTTPS_PROXY": PROXY, "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": PROXY, "no_proxy": "ample.com,"}, PROXY),
    ],
)
def test_the_variables_say_through_which_proxy(variables: dict[str, str], proxy: str | None) -> None:
    assert proxy_for("https", "api.example.com", variables) == proxy
