"""`python -m ingest` as a process."""
