"""A cluster of network namespaces on one machine, and real packets through its policies."""
