"""A canary that judges itself, over a release file and counts that a test makes up."""

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from release_files import choose, own_manifests

from kserve_transformers.judging.judge import STEPS, Counts, Outcome, Tally, judge
from modelport.environment import ROOT
from modelport.manifests.release_file import Choice, read
from modelport.releases import rollout
from modelport.releases.__main__ import main
from modelport.releases.errors import RolloutError
from modelport.releases.judging import sight
from modelport.releases.judging.rolling import PROMOTED, REVERTED, TAKEN_OVER, Rolling
from modelport.releases.judging.sight import Baseline, Sight, UnseenError, difference, sides, slow_ms
from modelport.releases.rollout import Folders
from modelport.stack.envoy.counters import Counters
from modelport.stack.running import Running

RELEASE = "2026-11-22-0123456789ab"
GOOD = Counts(Tally(0, 5000), Tally(0, 5000), Tally(0, 5000), Tally(0, 5000))
BAD = Counts(Tally(500, 1000), Tally(0, 5000), Tally(0, 1000), Tally(0, 5000))


class EnoughError(Exception):
    """The test has seen what it wanted."""


@pytest.fixture
def folders(tmp_path):
    """A copy of the manifests without a log."""
    return Folders(own_manifests(tmp_path), tmp_path / "releases")


def rolling(folders: Folders, steps: tuple[int, ...] = STEPS) -> Rolling:
    return Rolling(folders, "digits", RELEASE, steps, 0.0)


def seen(*what: Counts | Exception | Callable[[], None]) -> Callable[[Choice], Counts]:
    """Counts for one look after another; an exception is raised, a function called first."""
    looks: Iterator[Counts | Exception | Callable[[], None]] = iter(what)

    def counts(_: Choice) -> Counts:
        for one in looks:
            if isinstance(one, Exception):
                raise one
            if isinstance(one, Counts):
                return one
            one()
        raise EnoughError

    return counts


def logged(folders: Folders) -> list[tuple[str, int]]:
    lines = map(json.loads, folders.log.read_text().splitlines())
    return [(line["what"], line["after"]["percent"]) for line in lines]


def now(folders: Folders) -> Choice:
    return read(folders.manifests)["digits"]


def test_a_good_release_is_promoted_step_by_step(folders, capsys):
    assert rolling(folders).run(lambda _: GOOD) == PROMOTED
    assert now(folders) == Choice(RELEASE, RELEASE, 0)
    assert logged(folders) == [("canary", 1), ("canary", 5), ("canary", 25), ("canary", 50), ("promote", 0)]
    entries = [json.loads(line) for line in folders.log.read_text().splitlines()]
    assert all("errors: canary 0 of 5000" in entry["why"] for entry in entries[1:])
    assert f"promote: {RELEASE} serves all requests: errors: canary 0 of 5000" in capsys.readouterr().out


def test_a_bad_release_is_reverted(folders, capsys):
    assert rolling(folders).run(seen(GOOD, BAD)) == REVERTED
    assert now(folders) == Choice("initial", "initial", 0)
    assert logged(folders) == [("canary", 1), ("canary", 5), ("rollback", 0)]
    assert "rollback: initial serves all requests: errors: canary 500 of 1000" in capsys.readouterr().out


@pytest.mark.parametrize(
    "silence",
    [
        pytest.param(Counts(), id="idle"),
        pytest.param(Counts(Tally(0, 3), Tally(0, 3), Tally(0, 3), Tally(0, 3)), id="few requests"),
        pytest.param(Counts(stable_errors=Tally(0, 10**6), stable_slow=Tally(0, 10**6)), id="stable alone"),
        pytest.param(UnseenError("no stack runs"), id="not seen"),
    ],
)
def test_an_idle_canary_never_moves_and_the_log_says_so_once(folders, silence):
    with pytest.raises(EnoughError):
        rolling(folders).run(seen(*[silence] * 30))
    assert now(folders) == Choice("initial", RELEASE, 1)
    assert logged(folders) == [("canary", 1), ("hold", 1)]


def test_a_judge_that_starts_again_goes_on_with_the_step_that_it_finds(folders):
    choose(folders.manifests, Choice("initial", RELEASE, 25))
    assert rolling(folders).run(lambda _: GOOD) == PROMOTED
    assert logged(folders) == [("canary", 50), ("promote", 0)]


@pytest.mark.parametrize("other", [Choice("initial", "initial", 0), Choice("initial", "2026-11-23-aaaaaaaaaaaa", 10)])
def test_what_somebody_else_chose_stays(folders, other):
    assert rolling(folders).run(seen(lambda: choose(folders.manifests, other), Counts())) == TAKEN_OVER
    assert now(folders) == other


def test_what_somebody_else_chose_while_it_judged_stays(folders):
    other = Choice("initial", RELEASE, 33)
    with pytest.raises(RolloutError, match="somebody else"):
        rolling(folders).run(seen(lambda: choose(folders.manifests, other), GOOD))
    assert now(folders) == other


def test_a_judge_that_is_killed_leaves_the_shares_as_they_are(folders):
    choose(folders.manifests, Choice("initial", RELEASE, 25))
    command = [sys.executable, "-P", "-m", "modelport.releases", "canary", "digits", RELEASE, "--auto", "--unchecked"]
    places = [f"--manifests={folders.manifests}", f"--releases={folders.releases}", "--port=1", "--every=0.1"]
    with subprocess.Popen([*command, *places], cwd=ROOT, stdout=subprocess.PIPE, text=True) as judge:
        assert judge.stdout is not None
        assert judge.stdout.readline().startswith(f"hold: {RELEASE} keeps 25 %: not seen: no stack with an overlay")
        judge.send_signal(signal.SIGKILL)
    assert now(folders) == Choice("initial", RELEASE, 25)
    assert logged(folders) == [("hold", 25)]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        pytest.param(["digits", RELEASE], "either the share", id="neither share nor auto"),
        pytest.param(["digits", RELEASE, "10", "--auto"], "either the share", id="both"),
        pytest.param(["digits", "initial", "--auto"], "is the stable release already", id="stable"),
    ],
)
def test_refused_commands(arguments, reason, folders, capsys):
    assert main(["canary", *arguments, "--unchecked", f"--manifests={folders.manifests}"]) == 1
    assert reason in capsys.readouterr().err
    assert now(folders) == Choice("initial", "initial", 0)


@pytest.mark.parametrize("option", ["--steps=5", "--steps=a", "--steps=50,5,100", "--every=0", "--every=x"])
def test_malformed_options(option, capsys):
    with pytest.raises(SystemExit):
        main(["canary", "digits", RELEASE, "--auto", option])
    assert option.partition("=")[2] in capsys.readouterr().err


STABLE = Counters(good=200, within={5.0: 0, 10.0: 150, 25.0: 195, math.inf: 200})


def test_slow_is_what_takes_longer_than_the_95th_percentile_of_the_stable_side():
    assert slow_ms(STABLE) == 25.0
    with pytest.raises(UnseenError, match="has given 99 answers, of 100"):
        slow_ms(Counters(within={1.0: 90, math.inf: 99}))


@pytest.mark.parametrize("route", ["digits", "modelport-digits"])
def test_sides_of_a_service_are_told_apart(route):
    found = {
        route: Counters(good=1),  # before there was a canary
        f"{route}/digits": Counters(good=10),
        f"{route}/digits-canary": Counters(good=100),
        f"{route}/digits-shadow": Counters(good=1000),
        "cars": Counters(good=10000),
    }
    assert [side.good for side in sides(found, "digits")] == [100, 10, 11]


def test_counts_are_those_since_the_step_began(tmp_path):
    before = Baseline("1 2", Choice("a", "b", 1), Counters(good=5, failed=5, within={25.0: 3, math.inf: 9}), STABLE, 25)
    before.write(tmp_path / "baseline.json")
    again = Baseline.read(tmp_path / "baseline.json")
    assert again == before
    canary = Counters(good=15, failed=6, within={25.0: 8, math.inf: 19})
    assert difference(before, canary, STABLE, 0.5) == Counts(
        Tally(1, 11), Tally(0, 0), Tally(5, 10), Tally(0, 0), golden_drift=0.5
    )


def test_counters_that_went_back_are_no_evidence():
    before = Baseline("1 2", Choice("a", "b", 1), Counters(), STABLE, 25)
    canary = Counters(good=147, within={25.0: 147, math.inf: 147})
    found = difference(before, canary, Counters(good=20, within={25.0: 20, math.inf: 20}), None)
    assert (found.stable_errors, found.stable_slow) == (Tally(), Tally())
    assert judge(found, 50).outcome is Outcome.HOLD


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"stack": 1, "choice": {}, "canary": {}, "stable": {}}'])
def test_a_baseline_that_cannot_be_read_is_taken_anew(text, tmp_path):
    (tmp_path / "baseline.json").write_text(text)
    assert Baseline.read(tmp_path / "baseline.json") is None


def test_a_stack_that_starts_again_begins_a_step_anew(monkeypatch, tmp_path):
    choice, found = Choice("initial", RELEASE, 5), {"digits": STABLE, "digits/digits": Counters(good=3)}
    monkeypatch.setattr(sight, "read_counters", lambda _: found)
    seeing = Sight("digits", tmp_path / "baseline.json")

    def counts(stack: Running) -> Counts:
        monkeypatch.setattr(sight, "running", lambda _: [stack])
        return seeing.counts(choice)

    stack = Running(7, "", "canary-standard", {f"digits-canary@{RELEASE}": 9}, [], {}, pid=1, started=1.0)
    assert counts(stack).stable_errors == Tally(0, 0)
    found = {"digits/digits": STABLE + Counters(good=50 + 3 - 200, failed=1)}  # the other cluster is dropped
    assert counts(stack).stable_errors == Tally(1, 51)
    later = Running(7, "", "canary-standard", {f"digits-canary@{RELEASE}": 9}, [], {}, pid=2, started=2.0)
    assert counts(later).stable_errors == Tally(0, 0)
    with pytest.raises(UnseenError, match="does not serve on port 7"):
        counts(Running(7, "", "canary-standard", {"digits-canary": 9}, [], {}, pid=2, started=2.0))
    with pytest.raises(UnseenError, match="no stack with an overlay"):
        counts(Running(7, "", "", {}, [], {}))


def test_a_record_without_the_release_as_a_shadow_is_refused(folders, capsys):
    record = folders.releases.parent / "record"
    record.mkdir()
    places = [f"--manifests={folders.manifests}", f"--releases={folders.releases}", f"--record={record}"]
    command = ["canary", "digits", RELEASE, "--auto", "--unchecked", *places]
    assert main(command) == 1
    assert "is not the latest shadow of digits" in capsys.readouterr().err
    rollout.change(folders, "shadow", "digits", "", rollout.shadow(RELEASE, 20))
    assert main(command) == 1
    assert f"record has no answers of {RELEASE} as a shadow of initial" in capsys.readouterr().err
