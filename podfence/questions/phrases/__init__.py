"""The parts of policies, and what they mean now, in plain words."""
