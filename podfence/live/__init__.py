"""A cluster that changes: events in, what they change of the compiled form out."""
