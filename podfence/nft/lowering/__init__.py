"""From the compiled policies to a ruleset: everything in here knows what a policy is."""
