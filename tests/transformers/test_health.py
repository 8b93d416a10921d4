"""The readiness report in every state has the form that the API document publishes."""

from types import SimpleNamespace

import pytest
from pydantic import ConfigDict, TypeAdapter, with_config

from kserve_transformers.health import Health
from kserve_transformers.protocol import answers

PARAMETERS = {"weights": "untrained", "warning": "untrained weights", "threshold": "0.8"}
DECLARED = SimpleNamespace(version="2", parameters=PARAMETERS, labels=("cat", "dog"))


def model(**state):
    known = {
        "unready_reason": None,
        "condition": "well",
        "release": None,
        "draining": [],
        "precision": None,
        "refused": None,
        "known_declaration": None,
    }
    fields = {**known, **state}
    return SimpleNamespace(name="m", ready=fields["unready_reason"] is None, **fields)


def report(one):
    chain = SimpleNamespace(models=[one], reason_against=lambda model: model.unready_reason)
    service = SimpleNamespace(name="s", chain=chain, unready_reason=one.unready_reason)
    return Health({"s": service}).report()


@pytest.mark.parametrize(
    ("one", "fields"),
    [
        pytest.param(model(unready_reason="not asked yet"), {"ready", "condition", "reason"}, id="not ready"),
        pytest.param(
            model(known_declaration=DECLARED),
            {"ready", "condition", "version", "labels", "weights", "warning"},
            id="ready",
        ),
        pytest.param(
            model(release="r2", draining=[None]),
            {"ready", "condition", "release", "draining"},
            id="a release took over",
        ),
        pytest.param(model(precision="int8"), {"ready", "condition", "precision"}, id="an int8 network serves"),
        pytest.param(model(refused=("r3", "wrong")), {"ready", "condition", "refused"}, id="a release was refused"),
    ],
)
def test_every_state_is_documented(one, fields):
    found = report(one)
    strict = TypeAdapter(with_config(ConfigDict(extra="forbid"))(answers.ModelState))
    assert strict.validate_python(found["services"]["s"]["models"]["m"]).keys() == fields
    assert TypeAdapter(answers.Readiness).validate_python(found) == found
    assert found["ready"] is one.ready
