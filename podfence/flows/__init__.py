"""Flow records of other tools and of our own, folded to what was seen."""
