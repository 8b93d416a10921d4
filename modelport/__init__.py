"""Modelport: the command line, the local stack, manifests, releases and measurements."""
