"""The benchmark: every service beside the raw model, its legacy server and plain KServe."""
