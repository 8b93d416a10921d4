"""Coverage-guided fuzzing of everything that parses requests: images, base64, JSON, the binary form, gRPC messages.

By hand, for an hour:
    .venv/bin/python tests/fuzz/fuzz_front_door.py --seconds 3600
What it finds is written to build/fuzz/; give the file's name as the last argument to run it alone.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris

sys.path.append(str(Path(__file__).parents[1] / "support"))
import corpus

with atheris.instrument_imports(include=["kserve_transformers"]):
    from kserve_transformers.arrays.decoding import decode_image
    from kserve_transformers.arrays.images.exif import orientation
    from kserve_transformers.errors import ServingError
    from kserve_transformers.protocol import grpc, v2
    from kserve_transformers.protocol.base64 import decode_base64
    from kserve_transformers.protocol.requests import InstanceKind
    from kserve_transformers.protocol.v1 import parse_v1

from google.protobuf.message import DecodeError
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

# Small, so that the fuzzer is fast; images of more pixels are refused.
MAX_PIXELS = 250_000


def image(data: bytes) -> None:
    """An image has the size that its header declares."""
    decoded = decode_image(data, MAX_PIXELS, lambda size: 1 / (1 + len(data) % 9))
    width, height = decoded.size_wh
    assert 0 < width * height <= MAX_PIXELS
    assert decoded.rgb.dtype.name == "uint8"
    assert decoded.rgb.shape[2] == 3


def exif(data: bytes) -> None:
    """An orientation is 1 to 8."""
    assert 1 <= orientation(data) <= 8


def v2_body(data: bytes) -> None:
    """The header's length stands in the first byte."""
    kind = InstanceKind.IMAGE if data[:1] < b"\x80" else InstanceKind.WINDOW
    assert v2.parse_infer_request(kind, data[1:], str(data[0]) if data[:1] > b"\x20" else None).request.instances


def grpc_message(data: bytes) -> None:
    """What protobuf can parse is a request, or refused."""
    try:
        message = pb.ModelInferRequest.FromString(data)
    except DecodeError:
        return
    for kind in InstanceKind:
        grpc.parse_infer_request(kind, message)


# By the input's first byte; most of the time goes to images.
TARGETS: tuple[Callable[[bytes], object], ...] = (
    image,
    exif,
    lambda data: decode_base64(data.decode("latin-1")),
    lambda data: parse_v1(InstanceKind.IMAGE, data, {}),
    lambda data: parse_v1(InstanceKind.WINDOW, data, {}),
    v2_body,
    grpc_message,
)


def one_input(data: bytes) -> None:
    """Only our own errors may come out."""
    if not data:
        return
    try:
        TARGETS[data[0] if data[0] < len(TARGETS) else 0](data[1:])
    except ServingError:
        return


def seeds(folder: Path) -> None:
    """A first input for each target."""
    inputs = [b"\0" + sample.data for sample in [*corpus.whole(corpus.scene((17, 13))), *corpus.animated()]]
    inputs += [b"\1" + sample.data[:200] for sample in corpus.turned() if sample.name.startswith("TIFF")]
    inputs += [b"\2data:image/png;base64,QUJD", b"\2QU-_", b'\3{"instances":[{"image":{"b64":"QUJD"}}]}']
    inputs += [b'\4{"instances":[[1,2.5],{"window":[1e3]}],"parameters":{}}']
    inputs += [b'\5 {"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["QUJD"]}]}']
    message = pb.ModelInferRequest(raw_input_contents=[v2.join_bytes([b"ab"])])
    message.inputs.add(name="image", datatype="BYTES", shape=[1])
    inputs += [b"\6" + message.SerializeToString()]
    for index, data in enumerate(inputs):
        (folder / f"seed-{index}").write_bytes(data)


def main() -> None:
    """Hand over to libFuzzer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="0: no limit")
    parser.add_argument("--runs", type=int, default=-1, help="inputs to try at most (default: no limit)")
    parser.add_argument("--findings", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("inputs", nargs="*", help="files to run alone, instead of fuzzing")
    options = parser.parse_args()
    logging.disable()
    options.findings.mkdir(parents=True, exist_ok=True)
    arguments = [sys.argv[0], f"-artifact_prefix={options.findings}/", f"-seed={options.seed}", "-timeout=20"]
    if options.inputs:
        arguments += options.inputs
    else:
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        seeds(folder)
        arguments += [f"-max_total_time={options.seconds}", f"-runs={options.runs}", "-max_len=4096"]
        arguments += ["-rss_limit_mb=2048", str(folder)]
    atheris.Setup(arguments, one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
