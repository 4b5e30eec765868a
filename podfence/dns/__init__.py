"""DNS as a node sees it pass: which addresses the pods were told that a name has."""
