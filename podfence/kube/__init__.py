"""A live cluster as a source of objects: access as kubectl has it, and lists of what is needed."""
