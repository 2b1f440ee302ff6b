"""The parts of `scripts/gpu_check.py`: what each looks at, how they are run, and the page that tells what came out."""
