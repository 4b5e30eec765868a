"""The same verdicts by fewer rules."""
