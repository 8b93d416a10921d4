"""Before pictures are decoded: full queues refuse a request, and small pictures take no thread."""

import base64
import io
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from PIL import Image

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


async def test_small_digits_need_no_thread():
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    digits = Digits("digits", [], Limits(), threads)
    assert len((await digits.preprocess({"instances": [png(28), png(64)]}, {})).decoded) == 2
    with pytest.raises(RuntimeError, match="shutdown"):
        await digits.preprocess({"instances": [png(28), png(65)]}, {})


def png(side):
    buffer = io.BytesIO()
    Image.new("L", (side, side)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()
