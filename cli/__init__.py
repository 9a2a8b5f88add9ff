"""`scaler`, the command line: talks HTTP to ingest, for people and for scripts."""
