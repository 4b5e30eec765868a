"""A lab that a real API server feeds: its processes, the work of controllers and nodes, and its
rounds."""
