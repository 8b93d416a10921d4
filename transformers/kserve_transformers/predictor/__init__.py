"""Triton as the transformers see it: what a model declares, how it is asked, whether it can be trusted."""

from kserve_transformers.predictor.asking import Outputs
from kserve_transformers.predictor.declaration import Declaration, TensorSpec
from kserve_transformers.predictor.triton_model import TritonModel

__all__ = ["Declaration", "Outputs", "TensorSpec", "TritonModel"]
