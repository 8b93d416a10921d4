"""The legacy servers: the small servers of the older projects, as their READMEs describe them, with our weights."""
