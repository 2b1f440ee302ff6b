"""From a table to trained networks: the recipe, the data of each fold, jobs, cohorts, and the calls that use them."""
