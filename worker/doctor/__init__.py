"""What `--check` looks at: whether everything that the worker will need is there and as it must be. Changes nothing."""
