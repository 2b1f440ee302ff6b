"""Floor 1: the mathematics. `reference` defines every operation in plain array code."""
