"""A cluster's pods, told to many agents: one reader of the API for thousands of nodes."""
