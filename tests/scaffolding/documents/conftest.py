"""Several services in one process, as tests of ingest have them."""

from tests.behaviour.ingest.conftest import _several_services

__all__ = ["_several_services"]
