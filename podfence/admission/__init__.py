"""What the API server does with an object: shapes, decoding, defaults, validation."""
