"""What a scrape says."""

from __future__ import annotations

import re

_SAMPLE = re.compile(r"^(?P<name>[a-z]\S*?(?:\{.*\})?) (?P<value>\S+)$", re.MULTILINE)


def samples(text: str) -> dict[str, float]:
    """Prometheus' text format: each sample's value by its name and labels, as they are written there."""
    return {match["name"]: float(match["value"]) for match in _SAMPLE.finditer(text)}
