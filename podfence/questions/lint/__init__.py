"""What in a policy does not do what its name or its shape suggests."""
