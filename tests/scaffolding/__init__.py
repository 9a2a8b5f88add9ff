"""Tests of what the tests stand on: the embedded environment, the simulated engine, the programs of CI."""
