"""Policies for traffic that was seen."""
