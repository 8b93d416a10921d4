"""Releases: immutable, content-addressed model repositories of one service, and what is done with them."""
