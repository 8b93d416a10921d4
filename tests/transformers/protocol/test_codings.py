"""Content codings: which one, and bodies that are decoded piece by piece."""

import gzip
import zlib

import pytest

from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedCodingError
from kserve_transformers.protocol.codings import MAX_RATIO, Inflater, answer_coding, compress, request_coding

DATA = bytes(range(256)) * 40
RAW_DEFLATE = zlib.compress(DATA, wbits=-zlib.MAX_WBITS)


def inflated(coding: str, body: bytes, sizes: int = 7, piece: int = 100) -> bytes:
    """Decoded from packets of so many bytes, in pieces of so many."""
    inflater, made = Inflater(coding), []
    for at in range(0, len(body), sizes):
        inflater.feed(body[at : at + sizes])
        while part := inflater.read(piece, last=False):
            made.append(part)
    while part := inflater.read(piece, last=True):
        made.append(part)
    assert all(len(part) <= piece for part in made)
    return b"".join(made)


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("", None),
        ("identity", None),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("Identity, deflate", "deflate"),
    ],
)
def test_the_coding_of_a_body(header, coding):
    assert request_coding(header) == coding


@pytest.mark.parametrize("header", ["br", "zstd", "gzip, gzip", "compress", "aes128gcm"])
def test_others_are_refused_with_those_that_are_read(header):
    with pytest.raises(UnsupportedCodingError, match="gzip, deflate") as refused:
        request_coding(header)
    assert refused.value.headers == {"Accept-Encoding": "gzip, deflate"}


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        pytest.param("", None, id="none asked for"),
        pytest.param("gzip", "gzip", id="gzip"),
        pytest.param("deflate", "deflate", id="deflate, as tritonclient asks"),
        pytest.param("gzip, deflate, br, zstd", "gzip", id="a browser's"),
        pytest.param("GZIP;Q=0.5, deflate", "deflate", id="weights"),
        pytest.param("gzip;q=0, *", "deflate", id="all but gzip"),
        pytest.param("*;q=0.1", "gzip", id="any"),
        pytest.param("br;q=1.0, identity", None, id="only others"),
        pytest.param("gzip;q=0", None, id="refused"),
        pytest.param("gzip;q=x", None, id="a weight that is none"),
        pytest.param("gzip;q=nan", None, id="a weight that is no number"),
    ],
)
def test_the_coding_of_an_answer(header, coding):
    assert answer_coding(header) == coding


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_what_is_coded_can_be_decoded(coding):
    assert inflated(coding, compress(DATA, coding)) == DATA


@pytest.mark.parametrize(
    ("coding", "body", "data"),
    [
        pytest.param("gzip", gzip.compress(DATA), DATA, id="gzip"),
        pytest.param("gzip", gzip.compress(DATA) * 2, DATA * 2, id="two members"),
        pytest.param("gzip", gzip.compress(DATA) + bytes(300), DATA, id="padding"),
        pytest.param("gzip", gzip.compress(b""), b"", id="nothing in gzip"),
        pytest.param("gzip", b"", b"", id="no body"),
        pytest.param("deflate", zlib.compress(DATA), DATA, id="deflate"),
        pytest.param("deflate", RAW_DEFLATE, DATA, id="deflate without zlib's frame"),
    ],
)
@pytest.mark.parametrize("packet", [1, 7, 10_000_000])
def test_bodies(coding, body, data, packet):
    assert inflated(coding, body, packet) == data


@pytest.mark.parametrize(
    ("coding", "body", "message"),
    [
        pytest.param("gzip", gzip.compress(DATA)[:-1], "cut off", id="checksum cut off"),
        pytest.param("gzip", gzip.compress(DATA)[:12], "cut off", id="data cut off"),
        pytest.param("gzip", b"\x1f", "cut off", id="one byte"),
        pytest.param("gzip", DATA, "not well-formed gzip", id="no gzip"),
        pytest.param("gzip", gzip.compress(DATA) + b"more", "not well-formed gzip", id="something behind it"),
        pytest.param("gzip", gzip.compress(b"") * 65, "not well-formed gzip", id="endless members"),
        pytest.param("gzip", gzip.compress(DATA)[:-6] + bytes(6), "not well-formed gzip", id="wrong checksum"),
        pytest.param("deflate", zlib.compress(DATA) + b"\0", "not well-formed deflate", id="a byte behind it"),
        pytest.param("deflate", zlib.compress(DATA)[:-1], "cut off", id="deflate cut off"),
    ],
)
@pytest.mark.parametrize("packet", [1, 10_000_000])
def test_damaged_bodies(coding, body, message, packet):
    with pytest.raises(BadRequestError, match=message):
        inflated(coding, body, packet)


def test_a_small_body_may_unfold_to_a_megabyte_and_not_far_beyond():
    assert len(inflated("gzip", gzip.compress(bytes(2**20)), piece=2**16)) == 2**20
    with pytest.raises(TooLargeError, match=f"more than {MAX_RATIO} times"):
        inflated("gzip", gzip.compress(bytes(2**21)), piece=2**16)
