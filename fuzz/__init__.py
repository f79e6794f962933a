"""Fuzzing: everything that somebody else writes goes to what reads it, changed in every way. See docs/fuzzing.md."""
