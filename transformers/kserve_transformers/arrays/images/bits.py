"""Reads the bits of a codec's header."""


class Bits:
    """A reader of bits, most significant first; behind the end there are zeros.

    Args:
        data: the bytes.
    """

    def __init__(self, data: bytes) -> None:
        self._number, self._left = int.from_bytes(data), 8 * len(data)

    def take(self, count: int) -> int:
        """The next bits as a number."""
        self._left -= count
        shifted = self._number >> self._left if self._left >= 0 else self._number << -self._left
        return shifted & ((1 << count) - 1)

    def take_exp_golomb(self) -> int:
        """The next unsigned Exp-Golomb number, of at most 32 bits (ITU-T H.265, 9.2; AV1's uvlc is the same)."""
        zeros = 0
        while zeros < 32 and not self.take(1):
            zeros += 1
        return (1 << zeros) - 1 + self.take(zeros)
