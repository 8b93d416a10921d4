"""The recorder is bounded, never blocks, never raises, and counts what it loses with the reason."""

import itertools
import threading

import pytest
from waiting import wait_for

from kserve_transformers.metrics import RECORD_LOSSES, RECORD_LOST, RECORDED
from kserve_transformers.observe import Ended, Exchange
from kserve_transformers.record import recorder as module
from kserve_transformers.record.events import Origin
from kserve_transformers.record.recorder import Recorder, chosen
from kserve_transformers.settings import RecordSettings

NAMES = itertools.count()


class Sink:
    """Keeps what is written; `gate` holds writes up, `errors` are raised by the next ones, `writing`: one has begun."""

    interval_s = 0.01
    batch_bytes = 10_000

    def __init__(self) -> None:
        self.written, self.errors, self.gate, self.writing = [], [], threading.Event(), threading.Event()
        self.gate.set()

    def write(self, service, events) -> None:
        self.writing.set()
        self.gate.wait()
        if self.errors:
            raise self.errors.pop()
        self.written.append((service, len(events)))

    @property
    def count(self) -> int:
        return sum(count for _, count in self.written)


class Recording:
    """A recorder of a service of its own, so that its metrics are."""

    def __init__(self, **settings) -> None:
        self.service, self.sink = f"s{next(NAMES)}", Sink()
        self.recorder = Recorder(RecordSettings("somewhere", **settings), self.sink, Origin("here", "default"))

    def keep(self, count: int = 1, instance: bytes = b"x", **told) -> None:
        for _ in range(count):
            exchange = Exchange("id", {}, True, 0.0, (instance,), {}, **{"predictions": lambda: [{}], **told})
            self.recorder.keep(exchange, Ended(self.service, "v1", "200", 0.1))

    @property
    def recorded(self) -> int:
        return int(RECORDED.labels(self.service)._value.get())

    @property
    def lost(self) -> dict[str, int]:
        counts = {reason: int(RECORD_LOST.labels(self.service, reason)._value.get()) for reason in RECORD_LOSSES}
        return {reason: count for reason, count in counts.items() if count}


@pytest.fixture
def recording(request):
    made = Recording(**getattr(request, "param", {}))
    made.recorder.start()
    yield made
    made.sink.gate.set()
    made.recorder.stop(300)


def test_all_that_is_kept_is_written_in_batches_and_the_rest_when_it_stops(recording):
    recording.sink.gate.clear()
    recording.keep(100)
    recording.sink.gate.set()
    recording.recorder.stop(300)
    assert (recording.sink.count, recording.recorded, recording.lost) == (100, 100, {})
    assert len(recording.sink.written) < 60
    recording.keep()
    assert recording.lost == {"stopped": 1}


@pytest.mark.parametrize(
    ("recording", "most", "room"),
    [
        pytest.param({"queue_bytes": 3 * 14_000}, module.MAX_WAITING, 3, id="by bytes"),
        pytest.param({}, 20, 20, id="by count"),
    ],
    indirect=["recording"],
)
def test_a_hanging_sink_fills_the_queue_and_no_further(recording, most, room, monkeypatch):
    monkeypatch.setattr(module, "MAX_WAITING", most)
    recording.sink.gate.clear()
    recording.keep()
    assert recording.sink.writing.wait(300)  # so that nothing is taken out of the queue from now on
    recording.keep(50, b"x" * 5000)
    assert recording.lost == {"queue full": 50 - room}
    recording.sink.gate.set()
    wait_for(lambda: recording.recorded == 1 + room)
    assert recording.lost == {"queue full": 50 - room}


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(module, "_RETRY_AFTER_S", (0, 0))


def test_a_sink_that_fails_is_tried_again(recording, at_once):
    recording.sink.errors = [OSError("full"), ValueError("odd")]
    recording.keep()
    wait_for(lambda: recording.recorded == 1)
    assert recording.lost == {}


def test_what_a_sink_refuses_three_times_is_lost_and_the_next_is_not(recording, at_once, caplog):
    recording.sink.errors = [OSError("disk full")] * 3
    recording.keep()
    wait_for(lambda: recording.lost == {"sink failed": 1})
    recording.keep()
    wait_for(lambda: recording.recorded == 1)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["the record cannot be written, requests go on: OSError: disk full", "the record is written again"]


def test_a_dead_sink_does_not_keep_the_server_from_stopping(recording):
    recording.sink.errors = [OSError("dead")] * 1000
    recording.keep(7)
    recording.recorder.stop(300)
    assert recording.lost == {"sink failed": 7}


def test_what_waits_when_the_time_to_stop_is_over_is_counted():
    made = Recording()
    made.keep(5)
    made.recorder._thread = threading.Thread(target=lambda: None)  # one that takes nothing
    made.recorder.start()
    made.recorder.stop(0)
    assert made.lost == {"stopped": 5}


def test_a_request_that_cannot_be_rendered_is_lost_alone(recording, caplog):
    recording.keep(predictions=lambda: 1 / 0)
    recording.keep()
    wait_for(lambda: (recording.recorded, recording.lost) == (1, {"fault": 1}))
    assert "ZeroDivisionError" in caplog.text


def test_the_sample_is_the_same_everywhere_and_grows_with_the_share():
    ids = [f"request-{number}" for number in range(10_000)]
    samples = [{one for one in ids if chosen(one, percent)} for percent in (0, 1, 20, 100)]
    assert [len(sample) for sample in samples[::3]] == [0, 10_000]
    assert samples[1] < samples[2]
    assert 60 < len(samples[1]) < 140
    assert 1_800 < len(samples[2]) < 2_200
    assert chosen("abc", 75) is True  # 0xba78... of sha256("abc") is 0.728
    assert chosen("abc", 72) is False
