"""Content codings of HTTP (RFC 9110, section 8.4): gzip and deflate, both ways."""

import zlib

from kserve_transformers.errors import BadRequestError, TooLargeError, UnsupportedCodingError

# In the order in which an answer's coding is chosen. Each with the format of its stream, in zlib's terms.
CODINGS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
# A body may unfold to a megabyte in any case, and beyond it to so many times its own size. Photos and numbers are far
# below; a stream of zeros is about 1000.
MAX_RATIO = 200
_FREE_BYTES = 1024 * 1024
# Each costs a new decoder, and may hold nothing.
_MAX_GZIP_MEMBERS = 64
_LEVEL = 5


def request_coding(header: str) -> str | None:
    """The coding that the header `Content-Encoding` names; None for an uncoded body.

    Raises:
        UnsupportedCodingError: it is not read here, or there are several.
    """
    named = [name.strip().lower().removeprefix("x-") for name in header.split(",")]
    codings = [name for name in named if name not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in CODINGS:
        raise UnsupportedCodingError(
            f"the body has the content coding {header[:40]!r}: send it in one of {', '.join(CODINGS)}, or uncoded"
        )
    return codings[0]


def answer_coding(header: str) -> str | None:
    """The coding for an answer, by the header `Accept-Encoding`: the one with the highest weight; None for none."""
    weights: dict[str, float] = {}
    for part in header.lower().split(","):
        name, *parameters = (one.strip() for one in part.split(";"))
        weight = next((one[2:].strip() for one in parameters if one.startswith("q=")), "1")
        try:
            weights[name.removeprefix("x-")] = float(weight)
        except ValueError:
            continue
    other = weights.get("*", 0.0)
    best = max(CODINGS, key=lambda coding: weights.get(coding, other))
    return best if 0 < weights.get(best, other) <= 1 else None


def compress(data: bytes, coding: str) -> bytes:
    """Data in a coding."""
    compressor = zlib.compressobj(_LEVEL, wbits=CODINGS[coding])
    return compressor.compress(data) + compressor.flush()


class Inflater:
    """Decodes a body piece by piece, so that a small one that unfolds into a large one is known early.

    Args:
        coding: a key of CODINGS. Under the name deflate some clients send the format without zlib's frame: it is read.
    """

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._decoder: zlib._Decompress | None = None
        self._pending = b""
        self._full = False  # the last piece was as large as it may be: the decoder may hold more
        self._members = 0
        self._taken = 0
        self._made = 0

    def feed(self, data: bytes) -> None:
        """More of the coded body."""
        self._pending += data

    def read(self, size: int, last: bool) -> bytes:
        """Up to `size` decoded bytes; none where more of the body is needed, or its end is reached.

        Args:
            size: of the piece, at most.
            last: whether all of the body was fed.

        Raises:
            BadRequestError: the body is not of its coding, or cut off.
            TooLargeError: it unfolds to far more than its own size.
        """
        piece = b""
        while not piece and (self._full or len(self._pending) > (0 if last or self._decoder else 1)):
            before = len(self._pending)
            try:
                piece = self._step(size)
            except zlib.error:
                raise BadRequestError(f"the body is not well-formed {self._coding}") from None
            self._taken += before - len(self._pending)
        self._made += len(piece)
        if self._made > max(_FREE_BYTES, MAX_RATIO * self._taken):
            raise TooLargeError(
                f"the {self._coding} body unfolds to more than {MAX_RATIO} times its size: send it uncoded"
            )
        if last and not piece and self._decoder is not None:
            raise BadRequestError(f"the {self._coding} body is cut off")
        return piece

    def _step(self, size: int) -> bytes:
        if self._decoder is None:
            if self._members and self._coding == "gzip" and not self._pending.strip(b"\0"):
                self._pending = b""  # padding, as some archivers write it
                return b""
            if self._members and (self._coding != "gzip" or self._members == _MAX_GZIP_MEMBERS):
                raise zlib.error
            self._decoder = zlib.decompressobj(self._wbits())
            self._members += 1
        piece = self._decoder.decompress(self._pending, size)
        self._full = len(piece) == size and not self._decoder.eof
        self._pending = self._decoder.unconsumed_tail
        if self._decoder.eof:
            self._pending = self._decoder.unused_data
            self._decoder = None
        return piece

    def _wbits(self) -> int:
        framed = self._pending[0] & 0x0F == zlib.DEFLATED and int.from_bytes(self._pending[:2]) % 31 == 0
        return CODINGS[self._coding] if framed or self._coding == "gzip" else -zlib.MAX_WBITS
