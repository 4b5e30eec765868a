"""From compiled policies to a ruleset: every module in here knows what a policy is."""
