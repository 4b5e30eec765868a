"""Denied packets: their copies get the names of pods, policies and rules."""
