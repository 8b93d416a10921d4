"""`modelport add` and `modelport remove`: a model of the user's own, from a file to an entry in services.yaml."""
