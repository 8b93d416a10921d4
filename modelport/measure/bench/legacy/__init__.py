"""The small servers that the services once were, as their READMEs describe them, with our weights."""
