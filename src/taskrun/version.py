"""The version that workers announce and `--version` prints."""

from __future__ import annotations

__version__ = "0.1.0"
