"""Judges a canary from counts: evidence that may be looked at any time, rules, and one of three outcomes."""
