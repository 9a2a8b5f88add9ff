"""The templates, read."""
