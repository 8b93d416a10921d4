"""Real clusters: what one lacks for an overlay (`check-cluster`), whether an overlay works on it (`test-cluster`)."""
