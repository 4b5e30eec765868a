"""Podfence and its peers on the same cases: ``python -m bench.conformance``."""
