from __future__ import annotations

from taskrun.adapters.telemetry.agent_labels import AgentLabels


def test_the_first_agents_keep_their_names_and_the_rest_share_one() -> None:
    labels = AgentLabels(most=2)
    assert [labels.label(agent) for agent in ("a", "b", "c", "d")] == ["a", "b", "other", "other"]


def test_an_agent_keeps_its_label() -> None:
    labels = AgentLabels(most=1)
    assert [labels.label(agent) for agent in ("a", "b", "a")] == ["a", "other", "a"]


def test_a_name_that_was_lent_is_free_again() -> None:
    labels = AgentLabels(most=2)
    labels.label("a")
    lent = labels.lent()
    assert [lent.label(agent) for agent in ("a", "misspelt", "b")] == ["a", "misspelt", "other"]
    assert [labels.label(agent) for agent in ("b", "misspelt")] == ["b", "other"]


def test_only_agents_with_a_label_of_their_own_are_kept() -> None:
    labels = AgentLabels(most=1)
    labels.label("a")
    labels.label("b")
    assert list(labels.known()) == ["a"]
