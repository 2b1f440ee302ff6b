"""Floor 5: which network is best for this table? Every configuration × fold × repeat is a network of a population."""
