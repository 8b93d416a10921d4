"""A request that no model's queue has a place for is refused before its pictures are decoded."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from kserve_transformers.errors import BusyError, UnsupportedMediaError
from kserve_transformers.services.digits import Digits
from kserve_transformers.settings import Limits


def model(room, trained=True, ready=True):
    """As much of a model as admission looks at."""
    return SimpleNamespace(name="m", room=room, ready=ready, declaration=SimpleNamespace(trained=trained))


@pytest.mark.parametrize(
    ("error", "chain"),
    [
        pytest.param(BusyError, [model(0)], id="full"),
        pytest.param(BusyError, [model(0), model(9, ready=False)], id="full, the spare not ready"),
        pytest.param(BusyError, [model(0), model(9, trained=False)], id="full, the spare untrained"),
        pytest.param(UnsupportedMediaError, [model(0), model(1)], id="full, the spare has room"),
        pytest.param(UnsupportedMediaError, [model(0, ready=False)], id="nothing ready: the request is checked"),
    ],
)
async def test_full_queues(error, chain):
    with ThreadPoolExecutor(1) as threads:
        digits = Digits("digits", chain, Limits(), threads)
        with pytest.raises(error):
            await digits.preprocess({"instances": ["AAAA"]}, {})
