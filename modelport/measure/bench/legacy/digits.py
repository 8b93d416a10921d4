"""FastAPI and Keras's predict."""

import io
import sys

import numpy as np
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from exporters import mnist
from modelport.measure.bench.legacy.weights import obtain

app = FastAPI()
network = mnist.load(obtain("mnist").path(mnist.WEIGHTS))


@app.post("/predict")
async def predict(file: UploadFile) -> dict[str, float]:
    """The digit in one image; the network scales the pixels itself."""
    image = Image.open(io.BytesIO(await file.read())).convert("L").resize((28, 28))
    (probabilities,) = network.predict(np.array(image, np.float32).reshape(1, 28, 28, 1), verbose=0)
    return {"predicted_digit": int(probabilities.argmax()), "confidence": float(probabilities.max())}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
