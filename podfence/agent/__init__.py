"""One node of a real cluster: the API is followed, the kernel enforces, and a status says how."""
