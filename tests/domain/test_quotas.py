"""What limits there are: which rows are refused, whose a task is, and where it is counted."""

from __future__ import annotations

import pytest

from taskrun.domain.errors import InvalidArgument
from taskrun.domain.quotas import FREE, AccountName, Limit, Policy
from taskrun.domain.records import Requirement, TaskSpec

SPEC = TaskSpec("echo", "1", labels={"team": "red", "zone": "x"})


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([Limit("user", running=1)], "limit no. 1: `by` is 'user': it must be"),
        ([Limit("label:", running=1)], "`by` is 'label:'"),
        ([Limit("client", waiting=1), Limit("agent")], "limit no. 2 limits nothing"),
        ([Limit("client", waiting=-1)], "`waiting` is -1: it must be 0 to 10000000."),
        ([Limit("client", running=2_000_000)], "`running` is 2000000"),
        ([Limit("client", per_minute=0)], "`per_minute` is 0: it must be 1 to 1000000."),
        ([Limit("client", waiting=1), Limit("client", running=1)], "one for each value of client already"),
        ([Limit("client", "client:ann", running=1)], "limit no. 1: 'client:ann' is no client's name. Is 'ann' meant?"),
        ([Limit("client", "ann\n", running=1)], r"limit no. 1: 'ann\n' is no client's name. A name has 1 to 63"),
        ([Limit("agent", "Bad Name!", running=1)], "limit no. 1: 'Bad Name!' is no agent name"),
        ([Limit("label:a\0b", running=1)], "limit no. 1: a key of labels holds the character U+0000"),
        ([Limit("agent", "x", running=1)] * 2, "one for the value 'x' of agent already"),
    ],
)
def test_a_row_that_cannot_be_is_refused_by_its_number(limits: list[Limit], words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Policy(limits)
    assert words in caught.value.message


def test_what_turns_go_by_is_a_key_and_ageing_is_no_longer_than_ten_years() -> None:
    with pytest.raises(InvalidArgument, match="fair_by is 'user'"):
        Policy(fair_by="user")
    with pytest.raises(InvalidArgument, match="worth -1 s"):
        Policy(ageing=-1)


def test_without_limits_and_turns_a_task_is_its_clients_and_counted_nowhere() -> None:
    share = FREE.share(SPEC, "client:ann")
    assert share == (("client", "ann"),)
    assert FREE.party(Requirement("echo", (), share)) == ""
    assert list(FREE.accounts(Requirement("echo", (), share))) == []


def test_a_limit_by_client_that_comes_later_counts_what_there_was_before() -> None:
    earlier, limit = Requirement("echo", (), FREE.share(SPEC, "client:ann")), Limit("client", running=2)
    assert dict(Policy([limit]).accounts(earlier)) == {AccountName("client", "ann"): limit}


def test_a_share_names_the_client_and_the_labels_that_are_asked_for() -> None:
    policy = Policy([Limit("label:team", running=1), Limit("label:none", running=1)], "label:zone")
    share = policy.share(SPEC, "client:ann")
    assert share == (("client", "ann"), ("label:team", "red"), ("label:zone", "x"))
    assert policy.party(Requirement("echo", (), share)) == "x"
    assert policy.party(Requirement("echo")) == ""


def test_a_task_is_counted_under_every_key_that_it_has_a_value_for() -> None:
    team, ann = Limit("label:team", running=1), Limit("client", "ann", running=3)
    policy = Policy([team, Limit("client", running=2), ann, Limit("agent", "other", running=1)])
    accounts = dict(policy.accounts(Requirement("echo", (), policy.share(SPEC, "client:ann"))))
    assert accounts == {AccountName("label:team", "red"): team, AccountName("client", "ann"): ann}
    assert str(AccountName("label:team", "red")) == "label team red"
