"""Real clusters: what one lacks for an overlay (`check-cluster`), and whether an overlay works on it (`test-cluster`)."""
