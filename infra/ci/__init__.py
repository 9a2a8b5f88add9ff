"""What CI needs beside the make targets: a second chance for tests that talk to real processes.

`outcomes` is a plugin of pytest that writes down what became of each test; `again` runs pytest with it, and runs once
more what may be run once more. The sections, their times and the summary are `.ci/run` itself.
"""
