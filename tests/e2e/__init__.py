"""Real processes on the embedded environment."""
