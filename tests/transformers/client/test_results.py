"""Records and the summary."""

from kserve_transformers.client.results import Request, Result, summary

GOOD, BAD = Result("a.jpg", 0, 0.1, {"x": 1}), Result("b.jpg", 1, 0.3, error="415 not an image")


def test_records():
    common = {"file": "a.jpg", "service": "detector", "ms": 100.0, "thread": 0}
    assert Request("detector", {}).record(GOOD) == {**common, "answer": {"x": 1}}
    failed = {"file": "b.jpg", "service": "detector", "parameters": {"score_threshold": 0.5}, "ms": 300.0, "thread": 1}
    assert Request("detector", {"score_threshold": 0.5}).record(BAD) == {**failed, "error": "415 not an image"}


def test_the_summary_tells_all_and_each_thread():
    together, *threads = summary([GOOD, BAD, Result("c.jpg", 1, 0.2, {})], 2.0)
    assert together == "3 requests, 1 errors, 2.0 s, 1.5 requests/s, p50 200 ms, p95 290 ms"
    assert threads == [
        "thread 0: 1 requests, mean 100 ms, longest 100 ms",
        "thread 1: 2 requests, mean 250 ms, longest 300 ms",
    ]


def test_nothing_to_do():
    assert list(summary([], 0.5)) == ["0 requests, 0 errors, 0.5 s, 0.0 requests/s, p50 0 ms, p95 0 ms"]
