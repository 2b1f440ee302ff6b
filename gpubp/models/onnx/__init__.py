"""Networks as ONNX graphs, with the preprocessing before them: what other runtimes and languages can run.

Top-down: `tables` (a gpubp.Model with its columns), `network` (layers and activations), `graph` (the builder). Needs
the package onnx. Graphs use plain operators of opset 15 that onnxruntime has in float32 and float64 alike.
"""
