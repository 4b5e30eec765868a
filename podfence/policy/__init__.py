"""What policies mean: Cluster -> PolicyIndex, the one compiled form."""
