"""What may run now, and the one place where errors become outcomes."""
