"""Many configurations: which network is best for this table? Every configuration × fold × repeat is a network."""

MOST_MEMBERS = 10_000  # of an ensemble: each is chosen in a round of its own
