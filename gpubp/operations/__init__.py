"""The mathematics: every operation in plain array code, forward beside backward; what is right is defined here."""
