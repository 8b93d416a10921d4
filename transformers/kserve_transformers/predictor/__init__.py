"""The predictor, which is Triton: what a model declares, how it infers, and whether it can be trusted."""

from kserve_transformers.predictor.declaration import Declaration, TensorSpec
from kserve_transformers.predictor.transport import Outputs
from kserve_transformers.predictor.triton_model import TritonModel

__all__ = ["Declaration", "Outputs", "TensorSpec", "TritonModel"]
