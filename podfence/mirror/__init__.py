"""Serves a cluster's pods to many agents: one watch at the API server for thousands of nodes."""
