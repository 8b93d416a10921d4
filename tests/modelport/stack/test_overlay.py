"""What an overlay declares, read for this machine: predictors with their releases, and their shares."""

import pytest
import release_files
from release_files import own_manifests

from modelport.manifests.release_file import Choice
from modelport.services import choose
from modelport.stack.errors import StackError
from modelport.stack.overlay import OverlaySettings

RELEASE = "2026-11-21-0123456789ab"


@pytest.fixture
def settings(tmp_path):
    """Makes settings of an overlay after the release file was edited; one release of digits is on this machine."""
    (tmp_path / "releases" / "digits" / RELEASE).mkdir(parents=True)
    manifests = own_manifests(tmp_path)

    def make(overlay: str, choice: Choice) -> OverlaySettings:
        release_files.choose(manifests, choice)
        return OverlaySettings(choose("digits"), overlay=overlay, manifests=manifests, releases=tmp_path / "releases")

    return make


@pytest.mark.parametrize("overlay", ["canary-standard", "canary-knative"])
@pytest.mark.parametrize(
    ("choice", "line"),
    [
        pytest.param(Choice("initial", "initial", 0), "digits 100 %", id="no canary"),
        pytest.param(Choice("initial", RELEASE, 0), "digits 100 %", id="a canary with nothing"),
        pytest.param(Choice("initial", RELEASE, 10), f"digits 90 %, digits-canary@{RELEASE} 10 %", id="a canary"),
        pytest.param(Choice(RELEASE, "initial", 99), f"digits@{RELEASE} 1 %, digits-canary 99 %", id="the other way"),
        pytest.param(Choice(RELEASE, RELEASE, 0), f"digits@{RELEASE} 100 %", id="promoted"),
    ],
)
def test_shares_and_releases_are_those_of_the_release_file(overlay, choice, line, settings):
    made = settings(overlay, choice)
    declared = made.read()
    assert declared.lines() == [f"/v1/models/digits:predict: {line}"]
    folders = {"initial": made.repository, RELEASE: made.releases / "digits" / RELEASE}
    assert all(predictor.repository == folders[predictor.release] for predictor in declared.predictors)


def test_releases_in_an_oci_registry_are_found_here(settings):
    (predictor,) = settings("storage-oci", Choice(RELEASE, RELEASE, 0)).read().predictors
    assert predictor.release == RELEASE


def test_a_release_that_is_not_here_is_an_error_that_says_what_to_do(settings):
    with pytest.raises(StackError, match=r"release 2027-a of digits, which is not in .*`make release SERVICE=digits`"):
        settings("canary-standard", Choice("initial", "2027-a", 10)).read()


def test_other_services_do_not_ask_for_their_releases(settings):
    made = settings("canary-standard", Choice("2027-a", "2027-a", 0))
    others = OverlaySettings(choose("cars"), overlay="canary-standard", manifests=made.manifests)
    assert others.read().lines() == ["/v1/models/cars:predict: cars 100 %"]
