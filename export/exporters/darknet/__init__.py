"""Darknet's detectors (cfg and weights files) as ONNX graphs."""
