"""What is kept: files written whole or not at all, arrays with a description, JSON, locks; all checked when read."""
