"""Before images are decoded: full queues refuse a request, and small images take no thread."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from image_files import encode
from PIL import Image

from kserve_transformers.errors import BusyError, UnsupportedMediaError
from kserve_transformers.protocol.requests import ServiceRequest
from kserve_transformers.service import Service
from kserve_transformers.service_spec import ServiceSpec
from kserve_transformers.settings import Limits
from kserve_transformers.tasks import build_task


def model(room, trained=True, ready=True):
    """As much of a model as admission looks at."""
    declaration = SimpleNamespace(trained=trained)
    reason = None if ready else "not loaded"
    return SimpleNamespace(
        name="m",
        room_within=lambda seconds: room,
        unready_reason=reason,
        declaration=declaration,
        known_declaration=None,
    )


def digits(models, threads, limits=None):
    spec = ServiceSpec.parse("digits=digits:mnist")
    return Service(spec, build_task(spec), models, limits or Limits(), threads)


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
    with ThreadPoolExecutor(1) as threads, pytest.raises(error):
        await digits(chain, threads).preprocess(ServiceRequest((b"no image",)), {})


async def test_formats_that_are_switched_off_are_refused():
    request = ServiceRequest((encode(Image.new("L", (28, 28)), "AVIF"),))
    with ThreadPoolExecutor(1) as threads:
        assert len((await digits([], threads).preprocess(request, {})).decoded) == 1
        with pytest.raises(UnsupportedMediaError, match="AVIF images are switched off"):
            await digits([], threads, Limits(refused_formats=("AVIF",))).preprocess(request, {})


async def test_small_digits_need_no_thread():
    threads = ThreadPoolExecutor(1)
    threads.shutdown()
    service = digits([], threads)
    sizes = {side: encode(Image.new("L", (side, side)), "PNG") for side in (28, 64, 65)}
    assert len((await service.preprocess(ServiceRequest((sizes[28], sizes[64])), {})).decoded) == 2
    with pytest.raises(RuntimeError, match="shutdown"):
        await service.preprocess(ServiceRequest((sizes[28], sizes[65])), {})
