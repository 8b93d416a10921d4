"""`make load`: Locust against any address, the two studies of scale, and what they say of a cluster's size."""
