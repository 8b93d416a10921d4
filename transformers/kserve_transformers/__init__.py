"""Images to tensors to answers: KServe transformers in front of Triton."""
