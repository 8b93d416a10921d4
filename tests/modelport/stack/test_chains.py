"""A chain that cannot serve its task is refused before anything is started."""

import pytest

from modelport.environment import ROOT
from modelport.services import DeclarationError, choose
from modelport.stack.chains import check_chains

REPOSITORY = ROOT / "model_repository"


def test_declared_chains_fit():
    check_chains(choose(), REPOSITORY)


@pytest.mark.parametrize(
    ("service", "model", "reason"),
    [
        ("digits", "yolov3_tiny", "digits: yolov3_tiny does not fit digits: its input is UINT8 [416, 416, 3]"),
        ("digits", "anomaly", "digits: anomaly does not fit digits: its input is FP32 [64]"),
        ("detector", "cars", "detector: cars does not fit detection: it has no output boxes, FP32 [?, 4]"),
        ("cars", "nonsense", "cars: no model 'nonsense' in "),
    ],
)
def test_chain_that_does_not_fit_is_refused(service, model, reason):
    with pytest.raises(DeclarationError) as refused:
        check_chains(choose(service, chains={service: (model,)}), REPOSITORY)
    assert str(refused.value).startswith(reason)
