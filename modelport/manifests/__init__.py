"""Generates, renders and checks the manifests: what KServe's controller would reject or silently ignore is reported."""
