"""The commands: each takes the context and its arguments, and returns how it ended."""
