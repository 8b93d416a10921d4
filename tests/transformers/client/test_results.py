"""Lines, resuming and the summary."""

import json

from kserve_transformers.client.results import Result, answered_before, summary

GOOD, BAD = Result("a.jpg", 0, 0.1, {"x": 1}), Result("b.jpg", 1, 0.3, error="415 not a picture")


def test_lines():
    assert json.loads(GOOD.line()) == {"file": "a.jpg", "ms": 100.0, "thread": 0, "answer": {"x": 1}}
    assert json.loads(BAD.line()) == {"file": "b.jpg", "ms": 300.0, "thread": 1, "error": "415 not a picture"}


def test_what_has_an_answer_is_known_and_a_line_that_was_cut_off_is_dropped(tmp_path):
    out = tmp_path / "results.jsonl"
    assert answered_before(out) == set()
    out.write_text(f'{GOOD.line()}\n{BAD.line()}\n{{"file": "c.jpg", "ans')
    assert answered_before(out) == {"a.jpg"}
    assert out.read_text() == f"{GOOD.line()}\n{BAD.line()}\n"


def test_the_summary_tells_all_and_each_thread():
    together, *threads = summary([GOOD, BAD, Result("c.jpg", 1, 0.2, {})], 2.0)
    assert together == "3 requests, 1 errors, 2.0 s, 1.5 requests/s, p50 200 ms, p95 290 ms"
    assert threads == [
        "thread 0: 1 requests, mean 100 ms, longest 100 ms",
        "thread 1: 2 requests, mean 250 ms, longest 300 ms",
    ]


def test_nothing_to_do():
    assert list(summary([], 0.5)) == ["0 requests, 0 errors, 0.5 s, 0.0 requests/s, p50 0 ms, p95 0 ms"]
