"""Images to tensors to answers: KServe transformers in front of Triton."""

__version__ = "0.1.0"
