"""What ingest and worker both need: the wire format, the journal's records, settings, logs, AWS clients."""
