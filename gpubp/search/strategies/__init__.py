"""Which configurations a search tries, and for how long."""
