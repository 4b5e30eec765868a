"""Back end 2: the compiled policies written for the kernel, still as data."""
