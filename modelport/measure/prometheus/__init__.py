"""The dashboard and the alerts of manifests/, on a real Prometheus of this machine beside a running stack."""
