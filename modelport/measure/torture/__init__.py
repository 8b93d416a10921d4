"""Breaks the running stack on purpose, one fault after the other, and counts what callers saw of it."""
