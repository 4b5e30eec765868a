"""The objects, spelled as the API spells them: shapes, decoding, validation; no meaning."""
