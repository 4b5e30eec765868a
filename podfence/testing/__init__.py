"""Builders and writers of manifests, shipped for the tests of podfence and of its users."""
