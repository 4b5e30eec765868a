"""What a packet pays for policies: clusters made to measure, their rules, and the clock."""
