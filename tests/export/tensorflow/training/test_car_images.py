"""Images of cars are found in each layout of a data set, and divided so that every class can be learnt."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from exporters.cars import stanford_labels
from exporters.errors import TrainingDataError
from exporters.training.car_images import CarImages, read_images


def write_images(paths: Iterable[Path]) -> None:
    encoded = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded)


def class_folders(root: Path, counts: Mapping[str, int]) -> Path:
    write_images(root / name / f"{number}.png" for name, count in counts.items() for number in range(count))
    return root


def counted(images: CarImages) -> dict[str, Counter[str]]:
    """How many of each class are in each part."""
    return {
        part: Counter(images.labels[image.label] for image in images.of(part))
        for part in ("train", "validation", "test")
    }


def test_a_tenth_of_each_class_validates_and_a_tenth_tests(tmp_path):
    images = read_images(class_folders(tmp_path, {"van": 20, "bus": 5}), seed=1)

    assert images.labels == ("bus", "van")
    assert counted(images) == {
        "train": {"van": 16, "bus": 3},
        "validation": {"van": 2, "bus": 1},
        "test": {"van": 2, "bus": 1},
    }
    paths = [image.path for image in images.images]
    assert len(paths) == len(set(paths)) == 25
    assert all(image.path.parent.name == images.labels[image.label] for image in images.images)


def test_the_division_is_the_seeds(tmp_path):
    class_folders(tmp_path, {"van": 20, "bus": 20})

    assert read_images(tmp_path, seed=1) == read_images(tmp_path, seed=1)
    assert read_images(tmp_path, seed=1) != read_images(tmp_path, seed=2)


def test_folders_of_parts_are_kept(tmp_path):
    for part, count in (("train", 4), ("valid", 2), ("test", 3)):
        class_folders(tmp_path / part, {"van": count, "bus": count})

    assert counted(read_images(tmp_path, seed=1)) == {
        "train": {"van": 4, "bus": 4},
        "validation": {"van": 2, "bus": 2},
        "test": {"van": 3, "bus": 3},
    }


def test_stanfords_classes_stand_in_stanfords_order_however_folders_are_spelled(tmp_path):
    names = [label.replace("_", " ").replace("Ram C V", "Ram C-V") for label in stanford_labels()]
    class_folders(tmp_path, dict.fromkeys(names, 3))

    assert read_images(tmp_path, seed=1).labels == stanford_labels()


def test_a_csv_names_files_classes_and_parts(tmp_path):
    write_images(tmp_path / "images" / f"{number}.png" for number in range(8))
    classes = ["bus", "Ram C/V"] * 4
    parts = ["test"] * 2 + [""] * 6
    rows = [f"images/{n}.png,{name},{part}" for n, (name, part) in enumerate(zip(classes, parts, strict=True))]
    (tmp_path / "cars.csv").write_text("file,class,part\n" + "\n".join(rows) + "\n")

    images = read_images(tmp_path / "cars.csv", seed=1)

    assert counted(images) == {
        "train": {"Ram_C_V": 2, "bus": 2},
        "validation": {"Ram_C_V": 1, "bus": 1},
        "test": {"Ram_C_V": 1, "bus": 1},
    }
    assert {image.path.name for image in images.of("test")} == {"0.png", "1.png"}


def annotations(path: Path, fields: list[tuple[str, object]], rows: list[tuple[object, ...]], **others: object) -> None:
    savemat = pytest.importorskip("scipy.io", reason="Stanford's .mat files are read by scipy").savemat
    savemat(path, {"annotations": np.array([rows], dtype=fields), **others})


def test_stanfords_own_annotations_name_all_images(tmp_path):
    names = [f"car_ims/{number:06}.png" for number in range(8)]
    write_images(tmp_path / name for name in names)
    annotations(
        tmp_path / "cars_annos.mat",
        [("relative_im_path", "O"), ("class", "O"), ("test", "O")],
        [(name, number % 2 + 1, int(number < 2)) for number, name in enumerate(names)],
        class_names=np.array([["AM General Hummer SUV 2000", "Acura RL Sedan 2012"]], dtype=object),
    )

    found = counted(read_images(tmp_path / "cars_annos.mat", seed=1))

    assert found["test"] == {"AM_General_Hummer_SUV_2000": 1, "Acura_RL_Sedan_2012": 1}
    assert found["train"] == {"AM_General_Hummer_SUV_2000": 2, "Acura_RL_Sedan_2012": 2}


def test_the_development_kits_annotations_have_their_names_beside_them(tmp_path):
    names = [f"{number:05}.png" for number in range(6)]
    write_images(tmp_path / "cars_train" / name for name in names)
    (tmp_path / "devkit").mkdir()
    annotations(
        tmp_path / "devkit" / "cars_train_annos.mat",
        [("class", "O"), ("fname", "O")],
        [(number % 2 + 1, name) for number, name in enumerate(names)],
    )
    annotations(
        tmp_path / "devkit" / "cars_meta.mat",
        [("nothing", "O")],
        [(0,)],
        class_names=np.array([["Bus 2000", "Van 2012"]], dtype=object),
    )

    images = read_images(tmp_path / "devkit" / "cars_train_annos.mat", seed=1)

    assert images.labels == ("Bus_2000", "Van_2012")
    assert {image.path.name: image.label for image in images.images} == {
        name: number % 2 for number, name in enumerate(names)
    }


def test_without_scipy_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.io", None)

    with pytest.raises(TrainingDataError, match="pip install scipy"):
        read_images(tmp_path / "cars_annos.mat", seed=1)


def damaged(root: Path) -> Path:
    class_folders(root, {"van": 3, "bus": 3})
    (root / "van" / "1.png").write_bytes(b"no image")
    return root


def csv_of_nothing(root: Path) -> Path:
    rows = ["missing.png,van", "missing.png,bus"] * 3
    (root / "cars.csv").write_text("\n".join(["file,class", *rows]))
    return root / "cars.csv"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        pytest.param(lambda root: root, "has no images", id="an empty folder"),
        pytest.param(lambda root: class_folders(root, {"van": 9}), "only one class, van", id="one class"),
        pytest.param(lambda root: class_folders(root, {"van": 9, "bus": 2}), "bus has no image", id="too few"),
        pytest.param(damaged, r"1\.png is missing or not an image", id="a damaged image"),
        pytest.param(csv_of_nothing, r"missing\.png is missing", id="a file that is not there"),
        pytest.param(lambda root: root / "cars.txt", "not a folder of class folders", id="something else"),
    ],
)
def test_data_that_cannot_be_trained_on_are_refused(write, message, tmp_path):
    assert callable(write)
    data = write(tmp_path)

    with pytest.raises(TrainingDataError, match=message):
        read_images(data, seed=1)
