"""Classes of labelled data find the labels that they mean, and none is guessed."""

import pytest

from modelport.releases.errors import EvaluationError
from modelport.releases.evaluation.labels import known_labels, match
from modelport.services import load

KNOWN = {label: label for label in ("cup", "diningtable", "aeroplane", "Ram C/V Van 2012", "tv", "T.V.", "!", "?")}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        pytest.param("cup", "cup", id="the same"),
        pytest.param("CUP ", "cup", id="case and spaces"),
        pytest.param("dining table", "diningtable", id="two words"),
        pytest.param("Ram_C-V_Van_2012", "Ram C/V Van 2012", id="a folder's name has no slash"),
        pytest.param("tv", "tv", id="the same, where another one is alike"),
        pytest.param("!", "!", id="no letters"),
        pytest.param("airplane", "aeroplane", id="renamed"),
    ],
)
def test_a_class_means_a_label(name, label):
    renamed = {"airplane": "aeroplane"} if name == "airplane" else {}
    assert match({name: 3}, KNOWN, renamed, count_unknown=False) == ({name: label}, ())


@pytest.mark.parametrize(
    ("counts", "renamed", "complaint"),
    [
        pytest.param(
            {"airplane": 14, "cup": 1},
            {},
            "1 of 2 classes .*'airplane' \\(14; the nearest label is 'aeroplane'\\).*--rename .*--count-unknown",
            id="unknown",
        ),
        pytest.param({"TV": 1}, {}, "'TV' can mean 'T.V.', 'tv': say which", id="two labels are alike"),
        pytest.param({"*": 1}, {}, "1 of 1 classes", id="no letters, and not the same"),
        pytest.param(
            {"cup": 1}, {"mug": "cup"}, "--rename mug=cup: the data has no class 'mug': it has 'cup'", id="typo"
        ),
        pytest.param({"mug": 1}, {"mug": "cupp"}, "no model answers 'cupp'; the nearest label is 'cup'", id="no label"),
        pytest.param({str(n): 1 for n in range(100)}, {}, "100 of 100 classes .*'9' \\(1\\), \\.\\.\\.", id="many"),
    ],
)
def test_what_is_unclear_is_refused(counts, renamed, complaint):
    with pytest.raises(EvaluationError, match=complaint):
        match(counts, KNOWN, renamed, count_unknown=False)


def test_unknown_classes_can_be_counted():
    found = match({"yeti": 2, "cup": 1}, KNOWN, {}, count_unknown=True)
    assert found == ({"yeti": "yeti", "cup": "cup"}, ("yeti (2)",))


def test_labels_are_those_of_the_services_models(tmp_path):
    for model, labels in (("wide_resnet50_2", "a\nb\n"), ("mobilenet_v2", "b\nc\n"), ("efficientnet_lite0", "a\n")):
        (tmp_path / model).mkdir()
        (tmp_path / model / "labels.txt").write_text(labels)
    assert list(known_labels(load()["classifier"], tmp_path)) == ["a", "b", "c"]
    assert known_labels(load()["anomaly"], tmp_path)["normal"] == "not anomaly"
    with pytest.raises(EvaluationError, match=r"mnist/labels.txt cannot be read"):
        known_labels(load()["digits"], tmp_path)
