"""A lab that a real API server feeds: its processes, what controllers and nodes do, rounds."""
