"""Load studies by Locust: users added one by one, and a number of replicas under a number of callers."""
