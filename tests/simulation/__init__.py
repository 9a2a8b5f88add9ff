"""Deterministic simulation: the worker's real code, several processes of it, in a world of faults made from a seed.

`loops` and `processes` run the code handle by handle on virtual time; `network` carries its calls, and loses them;
`cloud`, `queue` and the fakes of `tests.fakes` are the outside; `workload` and `chaos` make things happen;
`evidence` writes down what had an effect, and `invariants` judges it. `twins` break one protection each, to prove
that the judge can see; `seeds` says which seeds are run, and `shrink` makes one that fails smaller. Nothing here
knows real time, real randomness, sockets or threads.
"""
