"""ingest, from its pure parts to the process."""
