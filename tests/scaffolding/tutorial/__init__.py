"""docs/tutorial.md, typed."""
