"""What a node enforces, and what it should enforce: decisions in time, without clock or kernel."""
