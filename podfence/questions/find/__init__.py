"""Queries over who reaches whom: one end, or all; what stands open; what a policy is for."""
