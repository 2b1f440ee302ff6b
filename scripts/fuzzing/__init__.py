"""The parts of `fuzz.py`: what is spoiled (`corpus`), how (`mutations`), and who has to bear it (`targets`)."""
