"""Programs of the stacks, with their own configuration."""
