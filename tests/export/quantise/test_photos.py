"""The photos by which a model is quantised and proven come with packages of NNCF's environment."""

from exporters.quantising.images import photos


def test_packages_carry_photos():
    assert [len(photos(part)) for part in ("calibration", "proof")] == [10, 11]
    assert [len(photos(part, objects=True)) for part in ("selection", "proof")] == [3, 7]
