"""Heads of detectors: to recognise what a detector's outputs are, and to append what makes boxes of them.

The contract of all detectors is in docs/architecture.md: boxes FP32 [N,300,4] (x1, y1, x2, y2 in 0..1 of the input),
scores FP32 [N,300], classes INT32 [N,300], by descending score; the transformer does class-wise NMS.
"""

from exporters.heads.appending import append
from exporters.heads.evidence import image_inputs
from exporters.heads.recognition import recognise
from exporters.heads.references import reference
from exporters.heads.table import HEADS

__all__ = ["HEADS", "append", "image_inputs", "recognise", "reference"]
