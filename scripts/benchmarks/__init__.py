"""The rows of `scripts/benchmark.py`, their peers, and how they are timed."""
