"""Starts and minds Triton, the transformers and what belongs to them on this machine."""
