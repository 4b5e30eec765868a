"""What was denied, by whom: copies of packets get the names of pods, policies and rules."""
