"""The command line: each part, and the whole program against servers."""
