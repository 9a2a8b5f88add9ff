"""The whole program in process, against servers of the test's own."""
