"""The lab: a real Docker Swarm on one machine, with real Prometheus and Alertmanager around the embedded AWS.

Each EC2 instance of the emulated groups is a set of Linux namespaces with a Docker engine of its own. Needs root.
"""
