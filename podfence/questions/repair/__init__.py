"""Edits of objects that repair something, as values; ``manifests`` writes them into text."""
