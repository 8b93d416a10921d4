"""HTTP routes beside those of KServe's V1 protocol."""
