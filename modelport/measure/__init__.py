"""Measurements: benchmarks, load, fault injection (torture) and a real Prometheus."""
