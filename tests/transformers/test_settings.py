"""The command line: KServe's own flags, and errors that say what to write."""

import pytest

from kserve_transformers.settings import parse_settings

DIGITS = "--service=digits=digits:mnist"


def test_services_are_declared_on_the_command_line():
    settings = parse_settings([DIGITS, "--service=cars=classification/cars:cars,mine"])
    assert [spec.name for spec in settings.services] == ["digits", "cars"]
    assert settings.services[1].presentation == "cars"
    assert settings.services[1].models == ("cars", "mine")
    assert (settings.http_port, settings.grpc_port) == (8080, 8081)
    assert not settings.follow_releases


def test_the_flags_that_kserves_controller_adds():
    arguments = ["--model_name", "my-digits", "--predictor_host", "digits-predictor.ns", "--http_port", "9000"]
    settings = parse_settings([DIGITS, *arguments])
    assert [spec.name for spec in settings.services] == ["digits"]
    assert settings.predictor_host == "digits-predictor.ns"
    assert settings.http_port == 9000


def test_a_server_has_its_own_defaults_of_the_tasks_options():
    assert parse_settings([DIGITS]).defaults == {"score_threshold": 0.3, "iou_threshold": 0.45}
    assert parse_settings([DIGITS, "--score_threshold=0.6"]).defaults["score_threshold"] == 0.6


def test_formats_that_are_switched_off():
    assert parse_settings([DIGITS]).limits.refused_formats == ()
    assert parse_settings([DIGITS, "--refuse_formats=avif, HEIC"]).limits.refused_formats == ("AVIF", "HEIC")


def test_a_server_without_services_says_how_to_declare_them(capsys):
    with pytest.raises(SystemExit):
        parse_settings([])
    assert "--service NAME=TASK[/PRESENTATION]:MODEL" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--service=boats=sailing:m"], "no task 'sailing': there are detection"),
        (["--service=digits"], "is not of the form NAME=TASK"),
        ([DIGITS], "two services are called digits"),
        (["--model_repository", "/nowhere/at/all"], "no such folder"),
        (["--score_threshold", "1.5"], "between 0 and 1"),
        (["--max_pixels", "0"], "must be positive"),
        (["--refuse_formats", "avif,png"], "'PNG' cannot be refused: name some of AVIF, HEIC"),
        (["--max_pixel", "5"], "unrecognized arguments"),
    ],
)
def test_errors_say_what_to_write(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        parse_settings([DIGITS, *arguments])
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err
