"""Prometheus's alert rules, made of the labels of services."""
