"""What ingest and worker both need: the wire format, the journal's records, settings, logs, AWS clients."""

__version__ = "0.1.0"
