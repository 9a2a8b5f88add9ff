"""`python -m rules` as a process, and Prometheus with what it writes."""
