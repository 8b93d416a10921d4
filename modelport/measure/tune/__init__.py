"""Finds the instances, threads and batching that suit a model on this machine, by measuring candidates."""
