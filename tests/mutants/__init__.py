"""Careless changes of the code, as patches, and the runner that asks the tests to find each."""
