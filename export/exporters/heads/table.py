"""The table of heads."""

from collections.abc import Mapping

from exporters.heads import anchored, boxes_scores, detr, end_to_end, lists, tables, yolov3, yolox
from exporters.heads.family import Family

HEADS: Mapping[str, Family] = {
    **yolov3.FAMILIES,
    **tables.FAMILIES,
    **end_to_end.FAMILIES,
    **yolox.FAMILIES,
    **lists.FAMILIES,
    **boxes_scores.FAMILIES,
    **anchored.FAMILIES,
    **detr.FAMILIES,
}
