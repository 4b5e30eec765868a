"""Promises about a cluster, written in test files and judged by the engine."""
