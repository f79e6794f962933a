"""Agents as label values: few enough for whoever keeps the series, whatever the tasks ask for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

#: Agents with series of their own; the rest share one.
MAX_AGENTS = 200
OTHER = "other"


class AgentLabels:
    """The first agents that are seen keep their names, those after them are `other`."""

    def __init__(self, most: int = MAX_AGENTS, labels: Mapping[str, str] = MappingProxyType({})) -> None:
        self._most = most
        self._labels = dict(labels)

    def lent(self) -> AgentLabels:
        """These and what is left, for one moment: who is named by it alone takes no name from those to come."""
        return AgentLabels(self._most, self._labels)

    def label(self, agent: str) -> str:
        """The label value for this agent; the same at every call."""
        label = self._labels.get(agent)
        if label is not None:
            return label
        if len(self._labels) >= self._most:
            return OTHER
        self._labels[agent] = agent
        return agent

    def known(self) -> Iterable[str]:
        """Every agent that has a label of its own."""
        return tuple(self._labels)
