"""scikit-learn's searches over the estimators, with all candidates and folds as populations."""
