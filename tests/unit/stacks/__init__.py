"""stacks/, read; the programs that use a file judge it."""
