"""No part of a contract is forgotten: each is a part of another, or something signs it."""

from __future__ import annotations

from importlib import import_module
from inspect import getmembers, isclass
from pathlib import Path
from pkgutil import iter_modules

import taskrun.testing.contracts as contracts

ROOT = Path(__file__).parent.parent


def test_every_contract_is_signed_or_a_part_of_one_that_is() -> None:
    modules = [import_module(f"{contracts.__name__}.{module.name}") for module in iter_modules(contracts.__path__)]
    parts = {each for module in modules for name, each in getmembers(module, isclass) if name.endswith("Contract")}
    bindings = "\n".join(path.read_text() for path in (ROOT / "contracts").rglob("*.py"))
    assert len(parts) > 20
    assert [each.__name__ for each in parts if not each.__subclasses__() and f"({each.__name__})" not in bindings] == []
