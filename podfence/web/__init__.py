"""The page from a server on this machine: its content, its editor, and access to it."""
