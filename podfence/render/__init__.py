"""Answers -> text, tables and data formats. Every name from outside is made harmless here."""
