"""What is no image of the formats that are read is told by its name; what may have been one is told to be damaged."""

import io
import wave

import pytest

from kserve_transformers.arrays.decoding import decode_image, refuse_formats
from kserve_transformers.arrays.images import formats
from kserve_transformers.errors import BadRequestError, UnsupportedMediaError


def wav():
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(800))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (wav(), "a WAV audio file"),
        (b"RIFF\0\1\0\0AVI LIST" + bytes(60), "an AVI video"),
        (b"RIFF\0\1\0\0RMID" + bytes(60), "a MIDI file"),
        (b"RIFF\0\1\0\0abcd" + bytes(60), "a RIFF file that is no WebP"),
        (b"%PDF-1.7\n%\xe2\xe3", "a PDF document"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "a PostScript file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a -->\n<svg>", "an SVG drawing"),
        (b"<?xml version='1.0'?><a/>", "an XML document"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b"\0\0\0\x20ftypisom" + bytes(40), "an MP4 video"),
        (b"\0\0\0\x14ftypqt  " + bytes(40), "a QuickTime video"),
        (b"\0\0\0\x18ftypcrx " + bytes(40), "a Canon raw photo"),
        (b"\0\0\1\0\1\0" + bytes(40), "an icon"),
        (b"8BPS\0\1" + bytes(40), "a Photoshop document"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), "a JPEG 2000 image"),
        (b"\xff\x0a" + bytes(40), "a JPEG XL image"),
        (b"\x1aE\xdf\xa3" + bytes(40), "a Matroska or WebM video"),
        (b"ID3\3" + bytes(40), "an MP3 audio file"),
        (b"PK\3\4" + bytes(40), "a ZIP archive or an office document"),
        (b"P6\n8 6\n255\n" + bytes(144), "a PNM image"),
        (b"/9j/4AAQSkZJRgABAQAAAQABAAD", "base64 text"),
        (b"data:image/png;base64,iVBORw0KGgo=", "base64 text"),
        (b"hello, this is text", "not an image that is read here: send one of JPEG, PNG"),
        (bytes(4096), "not an image that is read here"),
        (b"<" * 1_000_000, "not an image that is read here"),
        (b"<!--" * 200_000, "not an image that is read here"),
    ],
)
def test_it_is_told_by_its_name(data, says):
    with pytest.raises(UnsupportedMediaError, match=says):
        decode_image(data, 1000)


@pytest.mark.parametrize("data", [b"RIFF", b"RIFF\0\1\0\0", b"\x89PNG", b"BM", b"GIF8", b"II*", b"MM\0"])
def test_a_beginning_is_told_to_be_cut_off(data):
    with pytest.raises(BadRequestError, match="truncated"):
        decode_image(data, 1000)


def test_a_server_may_refuse_some_formats():
    avif, heic = b"\0\0\0\x18ftypavif\0\0\0\0mif1miaf", b"\0\0\0\x18ftypmif1\0\0\0\0miafheic"
    refuse_formats(avif, ["HEIC"])
    refuse_formats(avif, [])
    with pytest.raises(UnsupportedMediaError, match=r"AVIF images are switched off here: send one of .*TIFF, HEIC"):
        refuse_formats(avif, ["AVIF"])
    with pytest.raises(UnsupportedMediaError, match="HEIC images are switched off here"):
        refuse_formats(heic, ["AVIF", "HEIC"])
    assert "image/heic" in formats.media_types()
    assert "image/heif" not in formats.media_types(["HEIC"])
