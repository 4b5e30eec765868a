"""What a node enforces and what it should: decisions in time, without clock or kernel."""
