"""Compares two releases of a service: answers, scores, latency and memory over the same samples."""
