"""Floor 5: which network is best for this table? Every configuration × fold × repeat is a network of a population."""

MOST_MEMBERS = 10_000  # of an ensemble: each is chosen in a round of its own
