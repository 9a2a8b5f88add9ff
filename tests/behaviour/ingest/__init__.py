"""The service, over fakes."""
