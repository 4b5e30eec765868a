"""Churn and faults in a cluster of real nodes, for hours: ``python -m bench.soak``."""
