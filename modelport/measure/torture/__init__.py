"""Injects faults into a running stack, one after another, and counts what callers see of each."""
