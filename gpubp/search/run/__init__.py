"""How a search trains: configurations become jobs, jobs populations that fit memory and time; results are kept."""
