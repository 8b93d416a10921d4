"""Classifier, cars, digits and anomaly: their users' routes, V1, V2 and gRPC, against the real stack."""

import base64
import json

import cv2
import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
import tritonclient.http as triton_http
from image_files import encode
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from PIL import Image


@pytest.fixture
def windows(repository):
    return [json.loads((repository / "anomaly" / "golden" / "windows.json").read_text())] * 3


@pytest.fixture
def five():
    grey = np.full((300, 400), 235, np.uint8)
    cv2.putText(grey, "5", (150, 220), cv2.FONT_HERSHEY_SIMPLEX, 5, 20, 14, cv2.LINE_AA)
    return encode(Image.fromarray(grey), "PNG")


def both_transports(stack, service, name, array, datatype):
    """The outputs that Triton's own clients read, over HTTP and gRPC."""
    for module, address in ((triton_http, stack.http.removeprefix("http://")), (triton_grpc, stack.grpc)):
        with module.InferenceServerClient(address) as triton:
            tensor = module.InferInput(name, list(array.shape), datatype)
            tensor.set_data_from_numpy(array)
            result = triton.infer(service, [tensor])
            metadata = httpx.get(f"{stack.http}/v2/models/{service}", timeout=60).json()
            outputs = {output["name"]: result.as_numpy(output["name"]) for output in metadata["outputs"]}
            for output in metadata["outputs"]:
                wanted = {"BYTES": object, "FP32": np.float32, "INT32": np.int32, "BOOL": np.bool_}[output["datatype"]]
                assert outputs[output["name"]].dtype == wanted
                assert outputs[output["name"]].ndim == len(output["shape"])
            yield outputs


def images_array(*images):
    return np.array(images, object)


@pytest.mark.parametrize("form", ["multipart", "json", "raw"])
def test_classify_names_the_cup_and_the_model(client, coffee, form):
    request = {
        "multipart": {"files": {"image": coffee}},
        "json": {"json": {"image": base64.b64encode(coffee).decode()}},
        "raw": {"content": coffee, "headers": {"content-type": "image/jpeg"}},
    }[form]
    answer = client.post("/classifier/classify", **request).json()
    assert set(answer) == {"model", "fallback", "predictions"}
    assert answer["predictions"][0]["label"] == "espresso"
    assert answer["predictions"][0]["score"] > 0.5
    assert len(answer["predictions"]) == 5
    scores = [one["score"] for one in answer["predictions"]]
    assert scores == sorted(scores, reverse=True)
    assert answer["fallback"] == (answer["model"] != "wide_resnet50_2")


def test_untrained_models_are_passed_over_while_a_trained_one_is_ready(client, coffee):
    models = client.get("/v2/models/classifier").json()["parameters"]["models"]
    trained = [name for name, model in models.items() if model.get("weights") == "trained"]
    answer = client.post("/classifier/classify", files={"file": coffee}).json()
    assert answer["model"] in trained
    assert "warning" not in answer


def test_classifier_over_v1_and_v2(client, stack, coffee):
    body = {"instances": [{"image": {"b64": base64.b64encode(coffee).decode()}}] * 2}
    predictions = client.post("/v1/models/classifier:predict", json=body).json()["predictions"]
    assert [one["predictions"][0]["label"] for one in predictions] == ["espresso"] * 2
    for outputs in both_transports(stack, "classifier", "image", images_array(coffee, coffee), "BYTES"):
        assert outputs["label"].shape == outputs["score"].shape == (2, 5)
        assert outputs["label"][:, 0].tolist() == [b"espresso"] * 2
        assert outputs["model"].tolist() == [predictions[0]["model"].encode()] * 2
        assert outputs["fallback"].tolist() == [predictions[0]["fallback"]] * 2


def test_cars_answers_in_its_shape(client, coffee):
    answer = client.post("/cars/predict", files={"file": ("car.jpg", coffee, "image/jpeg")}).json()
    assert answer["status"] == "success"
    assert len(answer["predictions"]) == 5
    assert answer["top_prediction"] == answer["predictions"][0]
    for prediction in answer["predictions"]:
        assert set(prediction) == {"class", "confidence"}
        assert 0 <= prediction["confidence"] <= 100
        assert prediction["confidence"] == round(prediction["confidence"], 1)
    assert client.get("/cars/health").json() == {"status": "healthy"}


def test_cars_says_that_its_weights_are_untrained(client, stack, coffee):
    model = client.get("/v2/models/cars").json()["parameters"]["models"]["cars"]
    warned = "warning" in client.post("/cars/predict", files={"file": coffee}).json()
    assert warned == (model["weights"] == "untrained")
    for outputs in both_transports(stack, "cars", "image", images_array(coffee), "BYTES"):
        assert outputs["label"].shape == outputs["score"].shape == (1, 5)


def test_digits_reads_a_drawing_and_mnists_own_form(client, five, repository, stack):
    drawn = client.post("/digits/predict", files={"file": five}).json()
    assert set(drawn) == {"predicted_digit", "confidence"}
    assert drawn["predicted_digit"] == 5
    own = (repository / "mnist" / "golden" / "images.png").read_bytes()
    own_answer = client.post("/digits/predict", files={"file": own}).json()
    assert own_answer["confidence"] > 0.9
    assert client.get("/digits/").status_code == 200
    for outputs in both_transports(stack, "digits", "image", images_array(own, five), "BYTES"):
        assert outputs["digit"].tolist() == [own_answer["predicted_digit"], 5]


def test_anomaly_answers_each_window(client, windows, stack):
    answer = client.post("/anomaly/predict", json={"data": windows}).json()
    assert len(answer["predictions"]) == 3
    for prediction in answer["predictions"]:
        assert set(prediction) == {"mae", "threshold", "anomaly"}
        assert prediction["anomaly"] == (prediction["mae"] > prediction["threshold"])
    v1 = client.post("/v1/models/anomaly:predict", json={"instances": windows}).json()
    assert v1 == answer
    for outputs in both_transports(stack, "anomaly", "window", np.array(windows, np.float32), "FP32"):
        np.testing.assert_allclose(outputs["mae"], [one["mae"] for one in answer["predictions"]], rtol=1e-4)
        assert outputs["anomaly"].tolist() == [one["anomaly"] for one in answer["predictions"]]


def test_anomaly_gives_its_reconstruction_where_it_is_asked_for(client, windows, stack, repository):
    golden = json.loads((repository / "anomaly" / "golden" / "answer.json").read_text())["outputs"]["reconstruction"]
    body = {"instances": windows, "parameters": {"reconstruction": True}}
    predictions = client.post("/v1/models/anomaly:predict", json=body).json()["predictions"]
    rebuilt = [prediction["reconstruction"] for prediction in predictions]
    np.testing.assert_allclose(rebuilt, [golden["values"]] * 3, atol=golden["atol"])

    length = client.get("/v2/models/anomaly").json()["inputs"][0]["shape"][1]
    with triton_http.InferenceServerClient(stack.http.removeprefix("http://")) as triton:
        tensor = triton_http.InferInput("window", [3, length], "FP32")
        tensor.set_data_from_numpy(np.array(windows, np.float32))
        result = triton.infer("anomaly", [tensor], parameters={"reconstruction": True})
    np.testing.assert_allclose(result.as_numpy("reconstruction"), rebuilt, rtol=1e-5)

    refused = client.post("/v1/models/anomaly:predict", json=body | {"parameters": {"reconstruction": 1}})
    assert refused.json() == {"error": "reconstruction must be true or false"}


@pytest.mark.parametrize("data", [[], [[]], [[1.0, 2.0]], [["a"]], "x", [[None]]])
def test_anomaly_says_what_a_window_must_be(client, data):
    response = client.post("/anomaly/predict", json={"data": data})
    assert response.status_code == 400
    assert "number" in response.json()["error"] or "data" in response.json()["error"]


async def test_kserves_own_client(stack, images):
    image = base64.b64encode((images / "coffee.jpg").read_bytes()).decode()
    v1, v2 = (InferenceRESTClient(RESTConfig(protocol=protocol, timeout=60)) for protocol in ("v1", "v2"))
    answer = await v1.infer(stack.http, {"instances": [{"b64": image}]}, model_name="classifier")
    assert answer["predictions"][0]["predictions"][0]["label"] == "espresso"
    request = InferRequest("classifier", [InferInput("image", [1], "BYTES", data=[image])])
    answer = await v2.infer(stack.http, request, model_name="classifier")
    assert answer.get_output_by_name("label").data[0] == "espresso"
    for client in (v1, v2):
        assert await client.is_server_live(stack.http)
        assert await client.is_model_ready(stack.http, "classifier")
    assert await v2.is_server_ready(stack.http)
    await v1.close()
    await v2.close()
