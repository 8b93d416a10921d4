"""Reads rendered manifests as KServe's controller does, and names what it would reject or silently ignore."""
