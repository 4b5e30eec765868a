"""Connections that passed become uses of rules: counted, in bounded memory."""
