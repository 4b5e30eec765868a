"""The pure half of the lab: what it builds and sends, and what the results prove."""
