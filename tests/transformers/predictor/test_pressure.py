"""Pressure from files as the kernel writes them."""

import pytest

from kserve_transformers.predictor import pressure
from kserve_transformers.predictor.pressure import PressureMeter

STALL = "some avg10={avg10:.2f} avg60=0.00 avg300=0.00 total={us}\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=9\n"


@pytest.fixture
def write(tmp_path):
    def write(name, text):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    return write


@pytest.fixture
def share(tmp_path, monkeypatch):
    """Measures over ten seconds, in which `meanwhile` changes the files."""
    now = 1000.0
    monkeypatch.setattr(pressure.time, "monotonic", lambda: now)

    def measure(meanwhile):
        nonlocal now
        meter = PressureMeter(tmp_path)
        now += 10
        meanwhile()
        return meter.share()

    return measure


@pytest.mark.parametrize("resource", ["cpu", "io", "memory"])
@pytest.mark.parametrize("where", ["proc/pressure/{}", "sys/fs/cgroup/{}.pressure"], ids=["machine", "container"])
def test_stalls_count_by_their_growth(write, share, where, resource):
    name = where.format(resource)
    write(name, STALL.format(avg10=0, us=5_000_000))
    assert share(lambda: write(name, STALL.format(avg10=0, us=9_000_000))) == pytest.approx(0.4)


def test_the_kernels_mean_counts_before_its_counters_move(write, share):
    write("proc/pressure/cpu", STALL.format(avg10=62.5, us=5))
    assert share(lambda: None) == pytest.approx(0.625)


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("sys/fs/cgroup/cpu.stat", "nr_periods 1\nthrottled_usec 0\n", "nr_periods 2\nthrottled_usec 9000000\n"),
        ("sys/fs/cgroup/cpu/cpu.stat", "throttled_time 100\n", "throttled_time 9000000100\n"),
        ("proc/thread-self/schedstat", "7 1000000000 3", "8 10000000000 4"),
    ],
    ids=["throttled, version 2", "throttled, version 1", "run queue"],
)
def test_what_the_container_or_this_thread_had_to_wait_counts(write, share, name, before, after):
    write(name, before)
    assert share(lambda: write(name, after)) == pytest.approx(0.9)


def test_the_largest_counts_and_at_most_all_of_the_time(write, share):
    write("proc/pressure/cpu", STALL.format(avg10=10, us=0))
    write("proc/pressure/io", STALL.format(avg10=0, us=0))
    assert share(lambda: write("proc/pressure/io", STALL.format(avg10=0, us=30_000_000))) == 1.0


def test_a_kernel_that_tells_nothing_shows_no_pressure(share):
    assert share(lambda: None) == 0.0


def test_this_machine_is_measured():
    assert 0.0 <= PressureMeter().share() <= 1.0
