"""Models of users: what a file is found to be, what was decided about it, and the artefact that is built of it."""
