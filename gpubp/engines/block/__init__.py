"""The block engine: a network on each CPU core or in each CUDA block, or, where it is large, on a team of them."""
