"""Manifests in, an object that answers by name."""
