"""Back end 1: answers in memory, from the compiled form alone."""
