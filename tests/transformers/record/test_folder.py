"""The folder sink writes whole events or nothing, and stays within its limits."""

import errno
import os
import resource
from pathlib import Path

import pytest

from kserve_transformers.record import folder
from kserve_transformers.record.folder import FolderSink

LINE = b"x" * 99 + b"\n"


def files(path: Path) -> list[Path]:
    return sorted(path.rglob("*.jsonl"))


def test_events_of_a_service_share_a_file_named_by_date_and_hour(tmp_path):
    sink = FolderSink(tmp_path / "new" / "record", 1, 10**6)
    for service in ("cars", "digits", "cars"):
        sink.write(service, [LINE, LINE])
    cars, digits = files(tmp_path)
    assert cars.read_bytes() == LINE * 4
    assert digits.read_bytes() == LINE * 2
    assert cars.relative_to(tmp_path / "new/record").as_posix().startswith("cars/20")
    assert cars.stat().st_mode & 0o007 == 0


def test_two_writers_share_no_file(tmp_path):
    for _ in range(2):
        FolderSink(tmp_path, 1, 10**6).write("cars", [LINE])
    assert len(files(tmp_path)) == 2


def test_a_new_file_begins_with_the_hour_when_one_is_full_and_when_it_was_removed(tmp_path, monkeypatch):
    sink = FolderSink(tmp_path, 1, 8 * 250)
    for _ in range(3):
        sink.write("cars", [LINE])
    assert [path.stat().st_size for path in files(tmp_path)] == [200, 100]
    files(tmp_path)[1].unlink()
    sink.write("cars", [LINE])
    assert len(files(tmp_path)) == 2

    class Later(folder.datetime):
        @classmethod
        def now(cls, tz=None):
            return folder.datetime(2040, 1, 2, 3, tzinfo=tz)

    monkeypatch.setattr(folder, "datetime", Later)
    sink.write("cars", [LINE])
    assert len(list((tmp_path / "cars" / "2040-01-02").glob("03-*.jsonl"))) == 1


def test_the_folder_stays_within_its_bytes_and_loses_the_oldest_files(tmp_path):
    sink = FolderSink(tmp_path, 1, 8000)
    for number in range(300):
        sink.write("cars", [b"%099d\n" % number])
        assert sum(path.stat().st_size for path in files(tmp_path)) <= 8000
    kept = b"".join(path.read_bytes() for path in files(tmp_path)).splitlines()
    assert [int(line) for line in kept] == list(range(300 - len(kept), 300))
    assert len(kept) > 30


def test_files_of_days_ago_are_removed_with_their_folders(tmp_path):
    old, other = tmp_path / "cars" / "2001-01-01" / "00-a-1.jsonl", tmp_path / "cars" / "2001-01-01.txt"
    old.parent.mkdir(parents=True)
    for path in (old, other):
        path.write_bytes(LINE)
        os.utime(path, (0, 0))
    FolderSink(tmp_path, 7, 10**6).write("cars", [LINE])
    assert not old.parent.exists()
    assert other.exists()


@pytest.fixture
def two_kilobytes():
    """No file of this process may grow beyond 2,000 bytes: writing more fails as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_what_does_not_fit_is_not_written_in_part(tmp_path, two_kilobytes):
    sink = FolderSink(tmp_path, 1, 10**6)
    sink.write("cars", [LINE])
    with pytest.raises(OSError, match="large") as caught:
        sink.write("cars", [LINE] * 25)
    assert caught.value.errno == errno.EFBIG
    sink.write("cars", [LINE])
    assert [path.read_bytes() for path in files(tmp_path)] == [LINE * 2]


def test_where_no_file_can_be_made_it_fails_and_recovers(tmp_path):
    sink = FolderSink(tmp_path / "record", 1, 10**6)
    (tmp_path / "record").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="record"):
        sink.write("cars", [LINE])
    (tmp_path / "record").unlink()
    sink.write("cars", [LINE])
    assert len(files(tmp_path)) == 1
