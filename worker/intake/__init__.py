"""From messages to records, one small module a source."""
