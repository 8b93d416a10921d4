"""The detector through every protocol and form, against the real stack: always the same cup in the same place."""

import base64
import io

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from image_files import encode
from PIL import Image

CUP = [150, 24, 277, 282]


def b64(data):
    return base64.b64encode(data).decode()


def v1(client, instances, **parameters):
    response = client.post("/v1/models/detector:predict", json={"instances": instances, "parameters": parameters})
    assert response.status_code == 200, response.text
    return response.json()["predictions"]


def assert_cup(detections, atol=2):
    assert [one["label"] for one in detections] == ["cup"]
    np.testing.assert_allclose(detections[0]["bbox"], CUP, atol=atol)
    assert all(isinstance(side, int) for side in detections[0]["bbox"])
    assert 0.45 < detections[0]["confidence"] < 0.7


def test_the_legacy_route(client, coffee):
    answer = client.post("/detector/api/", json={"id": "abc-1", "image": b64(coffee)}).json()
    assert list(answer) == ["id", "detections"]
    assert list(answer["detections"][0]) == ["label", "confidence", "bbox"]
    assert answer["id"] == "abc-1"
    assert_cup(answer["detections"])


def test_v1_raw_body_and_server_timing(client, coffee):
    response = client.post("/v1/models/detector:predict", content=coffee, headers={"content-type": "image/jpeg"})
    assert_cup(response.json()["predictions"][0]["detections"])
    assert {part.split(";")[0] for part in response.headers["server-timing"].split(", ")} == {
        "decode",
        "preprocess",
        "queue",
        "infer",
        "postprocess",
    }


def test_v1_many_instances_keep_their_order_beyond_the_models_batch(client, coffee):
    instances = [b64(coffee), b64(encode(Image.new("RGB", (50, 40), "white"), "PNG"))] * 6
    predictions = v1(client, instances)
    assert [len(one["detections"]) for one in predictions] == [1, 0] * 6


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_tritons_client_over_both_transports(stack, coffee, protocol):
    module = {"http": triton_http, "grpc": triton_grpc}[protocol]
    address = stack.http.removeprefix("http://") if protocol == "http" else stack.grpc
    with module.InferenceServerClient(address) as triton:
        assert triton.is_server_live()
        assert triton.is_server_ready()
        assert triton.is_model_ready("detector")
        tensor = module.InferInput("image", [2], "BYTES")
        tensor.set_data_from_numpy(np.array([coffee, coffee], object))
        result = triton.infer("detector", [tensor], request_id="r1", outputs=None)
    assert result.as_numpy("label").tolist() == [b"cup", b"cup"]
    assert result.as_numpy("image_index").tolist() == [0, 1]
    assert result.as_numpy("score").dtype == np.float32
    np.testing.assert_allclose(result.as_numpy("box"), [CUP, CUP], atol=2)


def test_grpc_thresholds_and_one_output(stack, coffee):
    with triton_grpc.InferenceServerClient(stack.grpc) as triton:
        tensor = triton_grpc.InferInput("image", [1], "BYTES")
        tensor.set_data_from_numpy(np.array([coffee], object))
        wanted = [triton_grpc.InferRequestedOutput("score")]
        result = triton.infer("detector", [tensor], outputs=wanted, parameters={"score_threshold": 0.1})
    assert len(result.as_numpy("score")) > 1
    assert result.as_numpy("box") is None


def test_metadata_tells_tensors_and_weights(client):
    metadata = client.get("/v2/models/detector").json()
    assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}]
    assert {output["name"]: output["datatype"] for output in metadata["outputs"]} == {
        "box": "FP32",
        "score": "FP32",
        "label": "BYTES",
        "image_index": "INT32",
    }
    assert metadata["parameters"]["models"]["yolov3_tiny"]["weights"] == "trained"


def test_thresholds_of_a_request(client, coffee):
    assert v1(client, [b64(coffee)], score_threshold=0.9) == [{"detections": []}]
    (prediction,) = v1(client, [b64(coffee)], score_threshold=0.1, iou_threshold=1.0)
    assert len(prediction["detections"]) > 1
    scores = [one["confidence"] for one in prediction["detections"]]
    assert scores == sorted(scores, reverse=True)


def test_boxes_are_in_pixels_of_the_image_as_a_person_sees_it(client, coffee):
    """The camera was held upright."""
    stored, exif = Image.open(io.BytesIO(coffee)).transpose(Image.Transpose.ROTATE_90), Image.Exif()
    exif[0x0112] = 6
    (prediction,) = v1(client, [b64(encode(stored, "JPEG", quality=95, exif=exif))])
    assert_cup(prediction["detections"], atol=6)
