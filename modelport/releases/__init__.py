"""Releases: immutable model repositories of one service, named by their content; built, published and rolled out."""
