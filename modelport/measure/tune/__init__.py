"""Finds instances, threads and batching of one model on this machine, by measuring candidates on a Triton of its own."""
