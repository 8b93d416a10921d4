"""Drift: how far statistics of inputs and answers are from those of a reference, and whether chance explains it."""
