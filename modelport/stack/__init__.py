"""Starts and supervises Triton, the transformers and what belongs to them on this machine."""
