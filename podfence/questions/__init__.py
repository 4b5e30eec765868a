"""One file a question: values in, values out; how an answer is printed is not known here."""
