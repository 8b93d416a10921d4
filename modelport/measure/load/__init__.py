"""Load studies by Locust: users ramped up, and replicas by callers."""
