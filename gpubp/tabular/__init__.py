"""The best networks for a table without a choice to make: a portfolio of configurations, folds, and their ensemble."""
