"""`make bench`: every service beside the raw model, beside the seeds' own servers and beside KServe's plain way."""
