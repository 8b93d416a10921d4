"""A long run of mixed traffic with faults, and the slopes of what must not grow."""
