"""What the worker does, told as sentences: the real worker over the ports in memory, on fake loop time."""
