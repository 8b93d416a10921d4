"""Boxes in COCO's format: nothing that is annotated leaves the denominator, and what is malformed is refused."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation.coco import FLAT, OUTSIDE, SIZES, UNLISTED, read_coco


@pytest.fixture
def folder(tmp_path):
    """An image of 40x30 pixels, and one that EXIF turns from 40x30 to 30x40."""
    encoded = cv2.imencode(".jpg", np.zeros((30, 40, 3), np.uint8))[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (tmp_path / "a.jpg").write_bytes(encoded)
    segment = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    (tmp_path / "turned.jpg").write_bytes(encoded[:2] + segment + encoded[2:])
    return tmp_path


def annotations(folder: Path, *boxes: Any, images: Any = None, **more: Any) -> Path:
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}] if images is None else images,
        "categories": [{"id": 7, "name": "cup"}],
        "annotations": [{"id": n, "image_id": 1, "category_id": 7, "bbox": box} for n, box in enumerate(boxes)],
        **more,
    }
    path = folder / "boxes.json"
    path.write_text(json.dumps(document))
    return path


def box(image: Any = 1, **more: Any) -> dict[str, Any]:
    return {"id": 5, "image_id": image, "category_id": 7, "bbox": [1, 2, 3, 4], **more}


def test_boxes_are_read_as_corners(folder):
    data = read_coco(annotations(folder, [1, 2, 3, 4], [0, 0, 40, 30]), None)
    (sample,) = data.samples
    assert sample.right.labels == ("cup", "cup")
    assert sample.right.boxes.tolist() == [[1, 2, 4, 6], [0, 0, 40, 30]]
    assert sample.crowd == (False, False)
    assert sample.content() == (folder / "a.jpg").read_bytes()
    assert not any(data.remarks.values())


@pytest.mark.parametrize(
    ("bbox", "kind"),
    [
        pytest.param([30, 2, 20, 4], OUTSIDE, id="over the right edge"),
        pytest.param([1, -5, 3, 9], OUTSIDE, id="over the upper edge"),
        pytest.param([100, 100, 5, 5], OUTSIDE, id="elsewhere"),
        pytest.param([1, 2, 0, 4], FLAT, id="no width"),
        pytest.param([1, 2, 3, -4], FLAT, id="negative height"),
    ],
)
def test_boxes_that_are_wrong_stay_and_are_told(bbox, kind, folder):
    data = read_coco(annotations(folder, bbox, [1, 2, 3, 4]), None)
    (sample,) = data.samples
    assert len(sample.right.labels) == 2
    assert [name for name, found in data.remarks.items() if found] == [kind]
    assert (sample.right.boxes[:, 2:] >= sample.right.boxes[:, :2]).all()


def test_a_pixels_rounding_is_not_outside(folder):
    assert not read_coco(annotations(folder, [-0.5, 0, 41, 30.5]), None).remarks[OUTSIDE]


def test_sizes_are_those_that_a_person_sees(folder):
    images = [{"id": 1, "file_name": "turned.jpg", "width": 40, "height": 30}]
    data = read_coco(annotations(folder, [0, 0, 30, 40], [30, 0, 10, 10], images=images), None)
    assert data.remarks[SIZES] == ["turned.jpg (30x40, not 40x30)"]
    assert len(data.remarks[OUTSIDE]) == 1


def test_annotations_of_images_that_are_missing_or_not_listed_stay(folder):
    images = [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "gone.jpg"}]
    path = annotations(folder, [1, 2, 3, 4], images=images, annotations=[box(1, iscrowd=1), box(2), box(99), box(99)])
    data = read_coco(path, None)
    assert [(one.name, len(one.right.labels)) for one in data.samples] == [
        ("a.jpg", 1),
        ("gone.jpg", 1),
        ("image_id 99", 2),
    ]
    assert data.samples[0].crowd == (True,)
    assert len(data.remarks[UNLISTED]) == 2
    for sample in data.samples[1:]:
        with pytest.raises(FileNotFoundError):
            sample.content()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        pytest.param({"images": {}}, "has no list 'images'", id="images are no list"),
        pytest.param({"categories": {}}, "has no list 'categories'", id="categories are no list"),
        pytest.param({"annotations": []}, "contains no annotations", id="no annotations"),
        pytest.param(
            {"annotations": [{"image_id": 1, "category_id": 7}]}, "entry 0 of 'annotations' has no 'bbox'", id="box"
        ),
        pytest.param({"annotations": ["x"]}, "entry 0 of 'annotations' has no 'image_id'", id="no object"),
        pytest.param({"annotations": [box(category_id=8)]}, "is of category 8, which is not declared", id="category"),
        pytest.param({"annotations": [box(image=[1])]}, "an id that is neither a number nor a text", id="id is a list"),
        pytest.param(
            {"annotations": [box(bbox=[1, 2, 3])]}, r"annotation 5 .* has the bbox \[1, 2, 3\]", id="three numbers"
        ),
        pytest.param({"annotations": [box(bbox=[1, 2, "3", 4])]}, "has the bbox", id="a text"),
        pytest.param({"annotations": [box(bbox=[1, 2, 3, float("nan")])]}, "has the bbox", id="not a number"),
        pytest.param({"annotations": [box(bbox=[1, 2, True, 4])]}, "has the bbox", id="a boolean"),
        pytest.param(
            {"images": [{"id": 1, "file_name": "gone.jpg"}]}, "none of the 1 images .*--images DIR", id="elsewhere"
        ),
        pytest.param(
            {"images": [{"id": 1, "file_name": "../a.jpg"}]}, "is not in .*--images DIR", id="above the folder"
        ),
        pytest.param({"images": [{"id": 1, "file_name": "/etc/passwd"}]}, "is not in", id="an absolute path"),
        pytest.param({"images": [{"id": 1, "file_name": "a\0"}]}, "is not in", id="no path"),
        pytest.param(
            {"images": [{"id": 1, "file_name": "a.jpg"}] * 2}, "two images have the id 1: number them anew", id="one id"
        ),
    ],
)
def test_what_is_malformed_is_refused(change, complaint, folder):
    with pytest.raises(EvaluationError, match=complaint):
        read_coco(annotations(folder, [1, 2, 3, 4], **change), None)


@pytest.mark.parametrize("content", [b"", b"[", b"\xff", b"[" * 100_000, b"[]", b"7"])
def test_what_is_not_coco_is_refused(content, tmp_path):
    (tmp_path / "boxes.json").write_bytes(content)
    with pytest.raises(EvaluationError, match=r"is not JSON|has no list 'categories'"):
        read_coco(tmp_path / "boxes.json", None)
