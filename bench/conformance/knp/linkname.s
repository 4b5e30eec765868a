// A function without a body may be declared only in a package with an assembly file.
