"""The ports of `worker.ports` over the real things: SQS, DynamoDB, Auto Scaling, EC2, Docker.

Clients are handed in, opened by the process's entry. Every call has a whole time-out, the SDK's retries included.
Errors are raised as `shared.errors`, with the cause kept.
"""
