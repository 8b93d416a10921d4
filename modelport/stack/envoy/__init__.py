"""A real Envoy on this machine that routes as a rendered overlay says."""
