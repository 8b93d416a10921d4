"""compose.yaml serves what services.yaml declares."""

import yaml

from kserve_transformers.settings import parse_settings
from modelport.environment import ROOT
from modelport.services import load

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())


def test_the_transformer_declares_the_services():
    command = COMPOSE["services"]["transformer"]["command"]
    # the folder is there in the container only
    here = [argument for argument in command if not argument.startswith("--model_repository=")]
    assert {spec.name: spec for spec in parse_settings(here).services} == load()


def test_every_image_is_built_from_a_dockerfile_that_exists():
    for service in COMPOSE["services"].values():
        assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
