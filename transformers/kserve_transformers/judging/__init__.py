"""Judges a canary from counts, and in a cluster moves its share: `python3 -m kserve_transformers.judging SERVICE`.

The image has no other code of ours than this package, so the Job of manifests/overlays/canary-judge runs it from here.
"""
