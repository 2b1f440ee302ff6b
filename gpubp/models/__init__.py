"""Trained networks: a model, an ensemble, their scores, their files and ONNX graphs."""
