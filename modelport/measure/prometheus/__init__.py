"""A real Prometheus with the dashboard's queries and the alerts of manifests/, for a running stack."""
