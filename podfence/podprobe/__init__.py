"""Connections of tests, tried from inside the pods of a real cluster."""
