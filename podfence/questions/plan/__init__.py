"""What a change of the input opens and closes, and which edit does it."""
