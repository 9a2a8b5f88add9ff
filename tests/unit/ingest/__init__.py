"""ingest's pure parts."""
