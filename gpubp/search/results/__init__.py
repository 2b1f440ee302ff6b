"""What a search found: trials, the best network, ensembles, a summary for other programs."""
