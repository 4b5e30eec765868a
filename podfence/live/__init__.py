"""A cluster that changes: events go in, and what they change of the compiled form comes out."""
