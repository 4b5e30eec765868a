"""The command line: one file a command; parses arguments, picks a renderer, sets the exit code."""
