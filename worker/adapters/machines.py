"""What EC2 knows of instances: host names, addresses, launch times.

EC2 hands long lists out by tokens, one page after the other. So those of a group are asked for by the tag that Auto
Scaling gives them, a thousand a page and beside the question about the group itself; those that are named go in
filters of 200, all at once. Each page has the time-out of a call, all of them together `WHOLE_CALLS` times that.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

from shared.at_once import AtOnce
from worker.adapters.calls import calling

WHOLE_CALLS = 4
FILTER_VALUES = 200
"""The most values that one filter takes."""
PAGE = 1000
"""The most instances that one page holds."""
GROUP_TAG = "tag:aws:autoscaling:groupName"
"""https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html"""

Machine = Mapping[str, Any]


class Machines:
    """Instances by their ids, as EC2 describes them. One that it does not know is left out."""

    def __init__(self, client: Any, call_timeout: timedelta) -> None:
        self._client = client
        self._call_timeout = call_timeout

    async def of_group(self, name: str) -> dict[str, Machine]:
        """Those that carry a group's tag: its newest may not carry it yet, and those that have left it do."""
        return await self._all({"Name": GROUP_TAG, "Values": [name]})

    async def named(self, ids: Sequence[str]) -> dict[str, Machine]:
        """Those with these ids. A filter passes over unknown ids; naming them would be an error."""
        found: dict[str, Machine] = {}
        async with AtOnce() as at_once:
            parts = [
                at_once.ask(
                    self._all({"Name": "instance-id", "Values": list(ids[start : start + FILTER_VALUES])}),
                )
                for start in range(0, len(ids), FILTER_VALUES)
            ]
        for part in parts:
            found |= part.result()
        return found

    async def _all(self, wanted: Mapping[str, Any]) -> dict[str, Machine]:
        async with calling("DescribeInstances", self._call_timeout * WHOLE_CALLS):
            return {machine["InstanceId"]: machine async for machine in self._pages(wanted)}

    async def _pages(self, wanted: Mapping[str, Any]) -> AsyncIterator[Machine]:
        more: Mapping[str, Any] = {}
        while True:
            async with calling("DescribeInstances", self._call_timeout):
                page = await self._client.describe_instances(Filters=[wanted], MaxResults=PAGE, **more)
            for reservation in page["Reservations"]:
                for machine in reservation["Instances"]:
                    yield machine
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}
