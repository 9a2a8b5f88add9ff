"""What `.local/env` names is there, for ordinary commands. Before the tests that kill workers, which stay dead."""

import sys

import pytest

from infra.lab.driver import Driver
from tests.lab.conftest import desired_workers, shell

pytestmark = [pytest.mark.lab, pytest.mark.asyncio]

# As a person types it; boto3 stands for `aws`, which reads the same variables.
EVERYTHING = """
source {env}
curl --silent --show-error --fail "$INGEST_URL/readyz" "$ALERTMANAGER_ADDRESS/-/ready" >&2
for url in $WORKER_URLS; do curl --silent --show-error --fail "$url/healthz" >&2; done
for pid in $INGEST_PID $WORKER_PIDS; do kill -0 "$pid"; done
docker service ls >&2
{python} - <<'END'
import boto3, os
told = os.environ
queues, groups = boto3.client("sqs"), boto3.client("autoscaling")
for name in ("SQS_QUEUE_URL", "SQS_DLQ_URL"):
    queues.get_queue_attributes(QueueUrl=told[name], AttributeNames=["QueueArn"])
boto3.client("dynamodb").describe_table(TableName=told["DYNAMODB_TABLE"])
for name in ("AWS_MANAGER_ASG", "AWS_WORKER_ASG"):
    [group] = groups.describe_auto_scaling_groups(AutoScalingGroupNames=[told[name]])["AutoScalingGroups"]
    print(group["AutoScalingGroupName"], group["DesiredCapacity"])
END
"""


async def test_everything_that_the_env_file_names_answers_to_ordinary_commands(driver: Driver, lab_env: object) -> None:
    told = await shell(EVERYTHING.format(env=lab_env, python=sys.executable))
    managers, workers = (line.split() for line in told.splitlines()[-2:])
    assert managers[0].startswith("lab-ManagerAsg-")
    assert workers[0].startswith("lab-NodeAsg-")
    assert (managers[1], workers[1]) == ("3", str(await desired_workers(driver)))
