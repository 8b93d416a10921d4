"""Names of files that are not images of the formats that are read, for messages that say what was sent."""

import re

# How such files begin.
_SIGNATURES = (
    (b"%PDF-", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"\xc5\xd0\xd3\xc6", "a PostScript file"),
    (b"\0\0\1\0", "an icon (ICO)"),
    (b"\0\0\2\0", "a cursor (CUR)"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 image"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL image"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"II\xbc", "a JPEG XR image"),
    (b"DDS ", "a DDS texture"),
    (b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (b"#?RADIANCE", "a Radiance HDR image"),
    (b"SIMPLE  =", "a FITS file"),
    (b"qoif", "a QOI image"),
    (b"gimp xcf", "a GIMP image"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"OggS", "an Ogg file"),
    (b"fLaC", "a FLAC audio file"),
    (b"ID3", "an MP3 audio file"),
    (b"FORM", "an IFF file"),
    (b"PK\3\4", "a ZIP archive or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
)
_RIFF = {
    b"WAVE": "a WAV audio file", b"AVI ": "an AVI video", b"ACON": "an animated cursor", b"RMID": "a MIDI file",
}  # fmt: skip
# Brands of ISO base media files that are no images.
_BRANDS = {b"qt  ": "a QuickTime video", b"crx ": "a Canon raw photo (CR3)", b"M4A ": "an MP4 audio file"}
_TEXTS = (
    (re.compile(rb"<[^\0]*?<svg[\s>]|<svg[\s>]", re.IGNORECASE), "an SVG drawing"),
    (re.compile(rb"<(!doctype html|html)", re.IGNORECASE), "an HTML page"),
    (re.compile(rb"<\?xml"), "an XML document"),
    (re.compile(rb"P[1-7]\s"), "a PNM image"),
    (re.compile(rb"data:image/|/9j/|iVBORw0KGgo"), "base64 text: decode it"),
)
_LOOKED_AT = 1024


def name(data: bytes) -> str | None:
    """What a file is, with its article; None where that is not known."""
    if data.startswith(b"RIFF"):
        return _RIFF.get(data[8:12], "a RIFF file that is no WebP image")
    if data[4:8] == b"ftyp":
        return _BRANDS.get(data[8:12], "an MP4 video or another ISO media file without a still image")
    for signature, called in _SIGNATURES:
        if data.startswith(signature):
            return called
    start = data[:_LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((called for pattern, called in _TEXTS if pattern.match(start)), None)
