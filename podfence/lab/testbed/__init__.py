"""The pure half of the lab: what is built and sent, and what it proves."""
