"""The SQS consumer: one active worker changes the Auto Scaling groups and the Swarm, step by journaled step."""
