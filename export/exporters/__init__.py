"""From published weights to the artefacts that Triton serves."""
