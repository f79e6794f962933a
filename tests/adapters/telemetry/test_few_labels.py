from __future__ import annotations

from taskrun.adapters.telemetry.few_labels import FewLabels


def test_the_first_names_are_kept_and_the_rest_share_one() -> None:
    labels = FewLabels(most=2)
    assert [labels.label(agent) for agent in ("a", "b", "c", "d")] == ["a", "b", "other", "other"]


def test_a_name_keeps_its_label() -> None:
    labels = FewLabels(most=1)
    assert [labels.label(agent) for agent in ("a", "b", "a")] == ["a", "other", "a"]


def test_a_name_that_was_lent_is_free_again() -> None:
    labels = FewLabels(most=2)
    labels.label("a")
    lent = labels.lent()
    assert [lent.label(agent) for agent in ("a", "misspelt", "b")] == ["a", "misspelt", "other"]
    assert [labels.label(agent) for agent in ("b", "misspelt")] == ["b", "other"]


def test_only_names_with_a_label_of_their_own_are_kept() -> None:
    labels = FewLabels(most=1)
    labels.label("a")
    labels.label("b")
    assert list(labels.known()) == ["a"]
