"""The command line: KServe's own flags, and errors that say what to write."""

import pytest

from kserve_transformers.settings import SERVICES, parse_settings


def test_defaults_host_all_services():
    settings = parse_settings([])
    assert settings.services == SERVICES
    assert (settings.http_port, settings.grpc_port) == (8080, 8081)
    assert not settings.follow_releases


def test_the_flags_that_kserves_controller_adds():
    arguments = ["--model_name", "cars", "--predictor_host", "cars-predictor.ns", "--http_port", "9000"]
    settings = parse_settings(arguments)
    assert settings.services == ("cars",)
    assert settings.predictor_host == "cars-predictor.ns"
    assert settings.http_port == 9000


def test_a_chain_of_ones_own():
    settings = parse_settings(["--services=classifier", "--chain=classifier=mobilenet_v2,mine"])
    assert settings.chains["classifier"] == ("mobilenet_v2", "mine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--services", "boats"], "no service 'boats': there are detector"),
        (["--chain", "classifier"], "write SERVICE=MODEL"),
        (["--model_repository", "/nowhere/at/all"], "no such folder"),
        (["--score_threshold", "1.5"], "between 0 and 1"),
        (["--max_pixels", "0"], "must be positive"),
        (["--max_pixel", "5"], "unrecognized arguments"),
    ],
)
def test_errors_say_what_to_write(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_settings(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
