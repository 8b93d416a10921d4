"""YOLOv8, v9, v11 and v12: [N, 4 + classes, boxes], centre and size in pixels, and scores of classes.

Ultralytics' YOLOv3u and v5u answer the same, as do exports of v10 without its last step. Some tools turn the table.
"""

from collections.abc import Iterator
from functools import partial

from exporters.heads import tables
from exporters.heads.evidence import Evidence
from exporters.heads.family import Family, Match
from exporters.heads.finding import Sure, is_pixels, stride_sets


def _find(evidence: Evidence) -> Iterator[Match]:
    for table in tables.tables(evidence):
        classes, strides = table.columns - 4, stride_sets(evidence, table.rows)
        if classes < 1 or not tables.is_decoded(table):
            continue
        seen = f"4 + {classes} values for each of {table.rows} boxes"
        confidence = Sure.UNLIKELY
        if table.transposed and (strides or table.rows > table.columns):
            confidence = Sure.LIKELY if strides else Sure.POSSIBLE
        elif strides:
            confidence = Sure.POSSIBLE - 0.05  # YOLOX has tables of this form
        if "ultralytics" in evidence.told("author") and classes == evidence.labels and confidence > Sure.UNLIKELY:
            confidence, seen = Sure.SETTLED, f"{seen}, and Ultralytics' metadata, which has {classes} names"
        yield tables.match(confidence, "yolov8", _FAMILY, table, classes, seen, pixels=is_pixels(table.column(0, 4)))


_FAMILY = Family(
    title="YOLOv8, v9, v11 or v12",
    outputs="[N, 4 + classes, boxes]",
    find=_find,
    decode=partial(tables.decode, objectness=False),
    reference=partial(tables.reference, objectness=False),
    aliases={name: {} for name in ("yolov9", "yolov11", "yolo11", "yolov12", "yolo12")},
)
FAMILIES = {"yolov8": _FAMILY}
