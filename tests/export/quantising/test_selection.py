"""Operations go back to fp32 in the order of a ranking, no more of them than the room of the limits asks for."""

import math
from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from exporters.quantising.selection import ROOMS, attempts

SHARES = st.lists(st.floats(0, 3), min_size=1, max_size=40).map(lambda shares: sorted(shares, reverse=True))


@given(SHARES)
def test_each_attempt_is_the_shortest_beginning_that_leaves_the_room(shares):
    """shares[k]: what is used up with k operations in fp32; the last of them would be fp32 itself."""
    names = [f"layer {number}" for number in range(len(shares) - 1)]
    asked: list[int] = []

    def used(kept: Sequence[str]) -> float:
        assert list(kept) == names[: len(kept)]
        asked.append(len(kept))
        return shares[len(kept)]

    tried = [len(kept) for kept in attempts(lambda: names, used)]
    assert tried == sorted(set(tried))
    assert len(tried) <= len(ROOMS)
    for room, kept in zip(ROOMS, tried, strict=False):
        before = max((one for one in tried if one < kept), default=-1)
        assert shares[kept] <= room
        assert kept == before + 1 or shares[kept - 1] > room
    assert len(names) not in tried or not names
    assert len(asked) == len(set(asked))  # each is a proof
    assert len(asked) <= 1 + len(ROOMS) * (math.ceil(math.log2(len(shares))) + 1)


def test_what_is_good_enough_is_not_ranked():
    def ranked() -> list[str]:
        raise AssertionError("nothing has to be ranked")

    assert next(attempts(ranked, lambda kept: 0.1)) == ()


def test_where_all_would_have_to_be_fp32_nothing_is_tried():
    assert list(attempts(lambda: ["a", "b"], lambda kept: 2.0)) == []
