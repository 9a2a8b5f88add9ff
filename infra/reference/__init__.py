"""`docs/reference.md`: its tables are made from the code, its sentences are written by hand.

`page` puts the tables between the page's marks; one module for each source makes them. `python -m infra.reference`
writes the page, with `--check` it only says whether it is up to date.
"""
