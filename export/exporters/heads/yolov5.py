"""YOLOv5, v6 and v7: [N, boxes, 5 + classes], centre and size in pixels, objectness, and probabilities of classes.

v6 has one box for each cell, whose objectness is 1, where v5 and v7 have three.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np

from exporters.heads import tables
from exporters.heads.evidence import Evidence
from exporters.heads.family import Family, Match
from exporters.heads.finding import Sure, is_pixels, stride_sets


def _find(evidence: Evidence) -> Iterator[Match]:
    for table in tables.tables(evidence):
        classes = table.columns - 5
        if table.transposed or classes < 1 or not tables.is_decoded(table):
            continue
        seen = f"5 + {classes} values for each of {table.rows} boxes"
        objectness = table.column(4, 5)
        confidence = Sure.UNLIKELY
        if strides := stride_sets(evidence, table.rows, anchors=3):
            confidence, seen = Sure.LIKELY, f"{seen}, three for each cell at strides {', '.join(map(str, strides[0]))}"
        elif stride_sets(evidence, table.rows) and objectness is not None and np.allclose(objectness, 1):
            confidence, seen = Sure.SETTLED, f"{seen}, whose objectness is 1, as YOLOv6's"
        elif table.rows > max(1000, table.columns) and evidence.input_hw is None:
            confidence = Sure.POSSIBLE
        if "yolov5" in evidence.told("description") + evidence.told("docs") and confidence == Sure.LIKELY:
            confidence = Sure.SETTLED
        yield tables.match(confidence, "yolov5", _FAMILY, table, classes, seen, pixels=is_pixels(table.column(0, 4)))


_FAMILY = Family(
    title="YOLOv5, v6 or v7",
    outputs="[N, boxes, 5 + classes]",
    find=_find,
    decode=partial(tables.decode, objectness=True),
    reference=partial(tables.reference, objectness=True),
    aliases={"yolov6": {}, "yolov7": {}},
)
FAMILIES = {"yolov5": _FAMILY}
