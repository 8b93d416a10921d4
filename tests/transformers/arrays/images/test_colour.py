"""Colour profiles: what is not sRGB is converted to it, in every format that carries them; all else stays as it is."""

import io

import icc_profiles
import image_files
import numpy as np
import pytest
from PIL import Image, ImageCms

from kserve_transformers.arrays.decoding import decode_image
from kserve_transformers.arrays.images import colour

RNG = np.random.default_rng(8)
# Even patches: lossy formats keep them.
SCENE = Image.fromarray(np.kron(RNG.integers(30, 220, (4, 6, 3), np.uint8), np.ones((16, 16, 1), np.uint8)))
P3 = icc_profiles.rgb(icc_profiles.DISPLAY_P3, 2.2)
ADOBE = icc_profiles.rgb(icc_profiles.ADOBE_RGB, 2.2)
INKS = RNG.integers(40, 216, (2, 2, 2, 2, 3), np.uint8)
PRINTER = icc_profiles.cmyk(INKS)


OPTIONS = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 98},
    "HEIC": {"quality": 98, "chroma": 444},
}


def encode(image, fmt, profile=None):
    return image_files.encode(image, fmt, icc_profile=profile, **OPTIONS.get(fmt, {}))


def decode(data, scale=1.0):
    return decode_image(data, 1_000_000, lambda size: scale).rgb.astype(int)


def converted(image, profile):
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return np.asarray(ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"))


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"])
@pytest.mark.parametrize("profile", [P3, ADOBE], ids=["Display P3", "Adobe RGB"])
def test_wide_colours_become_srgb(fmt, profile):
    plain = decode(encode(SCENE, fmt))
    found = decode(encode(SCENE, fmt, profile))
    assert np.abs(found - converted(Image.fromarray(plain.astype(np.uint8)), profile)).mean() < 1
    assert np.abs(found - plain).mean() > 3
    halved = decode(encode(SCENE, fmt, profile), 0.5)
    assert np.abs(halved - np.asarray(Image.fromarray(found.astype(np.uint8)).reduce(2))).mean() < 2


def test_by_hand():
    """Display P3 with a plain gamma, through XYZ to linear sRGB and its curve (IEC 61966-2-1)."""
    linear = (np.asarray(SCENE) / 255) ** 2.2 @ icc_profiles.DISPLAY_P3 @ np.linalg.inv(icc_profiles.SRGB)
    linear = np.clip(linear, 0, 1)
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    np.testing.assert_allclose(decode(encode(SCENE, "PNG", P3)), expected, atol=2)


@pytest.mark.parametrize("fmt", ["JPEG", "PNG", "TIFF"])
def test_grey_of_another_gamma(fmt):
    image = SCENE.convert("L")
    profile = icc_profiles.grey(1.0)
    found = decode(encode(image, fmt, profile))
    np.testing.assert_allclose(
        found, converted(Image.fromarray(decode(encode(image, fmt))[..., 0].astype(np.uint8)), profile), atol=3
    )
    assert found.mean() > np.asarray(image).mean() + 20


@pytest.mark.parametrize("fmt", ["JPEG", "TIFF"])
def test_inks_of_a_printer(fmt):
    image = SCENE.convert("CMYK")
    np.testing.assert_allclose(decode(encode(image, fmt, PRINTER)), converted(image, PRINTER), atol=6)
    white = decode(encode(Image.new("CMYK", (16, 16)), fmt, PRINTER))
    assert np.abs(white - converted(Image.new("CMYK", (16, 16)), PRINTER)).max() <= 2


@pytest.mark.parametrize(
    "profile",
    [
        pytest.param(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), id="sRGB"),
        pytest.param(icc_profiles.grey(1.8), id="of grey"),
        pytest.param(PRINTER, id="of CMYK"),
        pytest.param(b"abc", id="damaged"),
        pytest.param(P3[:200], id="cut off"),
        pytest.param(P3.replace(b"acsp", b"xxxx"), id="without its signature"),
        pytest.param(P3 + bytes(5_000_000), id="of 5 MB"),
    ],
)
@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "WEBP"])
def test_profiles_that_change_nothing(fmt, profile):
    np.testing.assert_array_equal(decode(encode(SCENE, fmt, profile)), np.asarray(SCENE))


def test_an_image_without_a_profile_does_not_pay(monkeypatch):
    monkeypatch.setattr(colour.ImageCms, "applyTransform", None)
    for fmt in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIC"):
        decode(encode(SCENE, fmt))


def test_a_cameras_profile_is_read_once(monkeypatch):
    decode(encode(SCENE, "PNG", ADOBE))
    monkeypatch.setattr(colour.ImageCms, "buildTransform", None)
    decode(encode(SCENE.rotate(180), "PNG", ADOBE))
