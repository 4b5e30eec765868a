"""Files -> documents with positions: YAML as kubectl reads it, JSON, lists, tables of names."""
