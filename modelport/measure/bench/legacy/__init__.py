"""The legacy servers: those of the replaced projects, as their READMEs describe them, with our weights."""
