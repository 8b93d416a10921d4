"""Training of the models that have no maker: mnist and anomaly, and of cars on a user's own pictures."""
