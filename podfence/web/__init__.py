"""The page from a server of this machine: what it shows, what may be written, who may ask."""
