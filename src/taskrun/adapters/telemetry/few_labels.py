"""Other people's names as label values: few enough for whoever keeps the series, whatever they are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

#: Agents with series of their own; the rest share one.
MAX_AGENTS = 200
OTHER = "other"


class FewLabels:
    """The first names that are seen are kept, those after them are `other`."""

    def __init__(self, most: int = MAX_AGENTS, labels: Mapping[str, str] = MappingProxyType({})) -> None:
        self._most = most
        self._labels = dict(labels)

    def lent(self) -> FewLabels:
        """These and what is left, for one moment: who is named by it alone takes no name from those to come."""
        return FewLabels(self._most, self._labels)

    def label(self, name: str) -> str:
        """The label value for this name; the same at every call."""
        label = self._labels.get(name)
        if label is not None:
            return label
        if len(self._labels) >= self._most:
            return OTHER
        self._labels[name] = name
        return name

    def known(self) -> Iterable[str]:
        """Every name that is a label of its own."""
        return tuple(self._labels)
