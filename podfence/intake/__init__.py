"""From documents to a cluster and what is missing in it: the pure half of reading."""
