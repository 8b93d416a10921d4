"""A network is proven on this processor's instruction set, and on a lesser one that most processors have."""

import pytest

from exporters.quantising.processors import LIMIT, instruction_sets

AVX2 = "sse4_1 avx avx2 fma"
AVX512 = f"{AVX2} avx512f avx512bw avx512vl avx512dq"


@pytest.mark.parametrize(
    ("flags", "limit", "expected"),
    [
        pytest.param(f"{AVX512} avx512_vnni amx_int8 amx_tile", "", ("AVX512_CORE_AMX", "AVX2"), id="AMX"),
        pytest.param(f"{AVX512} avx512_vnni", "", ("AVX512_CORE_VNNI", "AVX2"), id="VNNI"),
        pytest.param(AVX512, "", ("AVX512_CORE", "AVX2"), id="AVX-512 alone"),
        pytest.param(f"{AVX2} avx_vnni", "", ("AVX2_VNNI", "AVX2"), id="VNNI without AVX-512"),
        pytest.param(AVX2, "", ("AVX2",), id="AVX2"),
        pytest.param("sse4_1", "", ("SSE41",), id="an old processor"),
        pytest.param("", "", ("unknown",), id="another architecture"),
        pytest.param(f"{AVX512} avx512_vnni", "AVX2", ("AVX2",), id="held to AVX2"),
        pytest.param(f"{AVX512} avx512_vnni", "avx512_core", ("AVX512_CORE", "AVX2"), id="held to AVX-512"),
        pytest.param(f"{AVX512} avx512_vnni", "DEFAULT", ("AVX512_CORE_VNNI", "AVX2"), id="held to nothing"),
    ],
)
def test_instruction_sets(flags, limit, expected, monkeypatch):
    monkeypatch.setenv(LIMIT, limit)
    assert instruction_sets(frozenset(flags.split())) == expected
