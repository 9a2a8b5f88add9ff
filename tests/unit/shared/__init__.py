"""The shared package."""
