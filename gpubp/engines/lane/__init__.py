"""The lane engine: tiny networks, one in each SIMD lane of a CPU or each CUDA thread."""
