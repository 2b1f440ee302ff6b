"""Evidence for the CUDA path without a device: what NVRTC compiles, and what the compiled program computes.

docs/explanation/kernels.md says which rung of the ladder shows what.
"""
