"""The fault harness: real processes under load are killed, frozen and cut off, and an oracle reads what came of it.

`python -m chaos` runs it; `docs/chaos.md` says how to read what it prints.
"""
