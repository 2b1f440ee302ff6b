"""What a search varies: parameters, their ranges, conditions."""
