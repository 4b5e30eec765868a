"""The objects, spelled as the API spells them: frozen values only."""
