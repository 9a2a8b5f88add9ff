"""What EC2 knows of instances: host names, addresses, launch times.

EC2 hands long lists out by tokens, one page after the other. So those of a group are asked for by the tag that Auto
Scaling gives them, a thousand a page and beside the question about the group itself; those that are named go in
filters of 200, all at once. Each page has the time-out of a call, all of them together `WHOLE_CALLS` times that.
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html

What identifies an instance that runs does not change while it runs. So it is read once and kept for KEPT; until then
only those are asked about that are new, or did not run yet. A thousand descriptions are 3 MB of XML, and a scale-down
looks at its group six times. Launch times and addresses may be that old: where somebody stops an instance of the group
and starts it again, or attaches an interface to it.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.at_once import AtOnce
from shared.aws import calling
from shared.models import Used

WHOLE_CALLS = 4
FILTER_VALUES = 200
"""The most values that one filter takes."""
PAGE = 1000
"""The most instances that one page holds."""
GROUP_TAG = "tag:aws:autoscaling:groupName"
"""https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-tagging.html"""
KEPT = timedelta(seconds=60)
USED = Used(
    operations=frozenset({"DescribeInstances"}),
    members={
        "Reservation": ("Instances",),
        "Instance": (
            *("InstanceId", "State", "LaunchTime"),
            *("PrivateDnsName", "PrivateIpAddress", "PublicIpAddress", "NetworkInterfaces"),
        ),
        "InstanceNetworkInterface": ("PrivateIpAddress", "PrivateIpAddresses", "Ipv6Addresses", "Attachment"),
        "InstanceNetworkInterfaceAttachment": ("AttachTime", "DeviceIndex"),
        "InstancePrivateIpAddress": ("PrivateIpAddress",),
    },
)
"""Of EC2: all that is read here."""


@dataclass(frozen=True, slots=True)
class Machine:
    """An instance, as EC2 describes it."""

    state: str = ""
    private_dns_name: str = ""
    addresses: frozenset[str] = frozenset()
    launched_at: datetime | None = None
    """Of its last start."""
    made_at: datetime | None = None

    @property
    def settled(self) -> bool:
        """What identifies it is known, and will not change."""
        return self.state == "running" and bool(self.private_dns_name) and self.launched_at is not None


NOT_SHOWN = Machine()
"""One that EC2 does not show yet."""


@dataclass(slots=True)
class _Kept:
    """The machines of one group, as they were read."""

    since: float
    settled: dict[str, Machine]
    others: Sequence[str] = ()


class Machines:
    """Instances by their ids. One that EC2 does not know is left out."""

    def __init__(self, client: Any, call_timeout: timedelta) -> None:
        self._client = client
        self._call_timeout = call_timeout
        self._kept: dict[str, _Kept] = {}

    async def of_group(self, name: str) -> dict[str, Machine]:
        """Those that are known to be a group's: its newest may be missing, and those that have left it may be there."""
        kept, now = self._kept.get(name), asyncio.get_running_loop().time()
        if kept is not None and now < kept.since + KEPT.total_seconds():
            return kept.settled | await self.named(kept.others)
        found = await self._all({"Name": GROUP_TAG, "Values": [name]})
        self._kept[name] = _Kept(now, _settled(found))
        return found

    def keep(self, name: str, members: Collection[str], machines: Mapping[str, Machine]) -> None:
        """What was read of a group's members; the others are forgotten."""
        settled = _settled({each: machines[each] for each in members if each in machines})
        if (kept := self._kept.get(name)) is not None:
            kept.settled, kept.others = settled, [each for each in members if each not in settled]

    async def named(self, ids: Sequence[str]) -> dict[str, Machine]:
        """Those with these ids, as they are now. A filter passes over unknown ids; naming them would be an error."""
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
            return {described["InstanceId"]: _machine(described) async for described in self._pages(wanted)}

    async def _pages(self, wanted: Mapping[str, Any]) -> AsyncIterator[Mapping[str, Any]]:
        more: Mapping[str, Any] = {}
        while True:
            async with calling("DescribeInstances", self._call_timeout):
                page = await self._client.describe_instances(Filters=[wanted], MaxResults=PAGE, **more)
            for reservation in page["Reservations"]:
                for described in reservation["Instances"]:
                    yield described
            if not page.get("NextToken"):
                return
            more = {"NextToken": page["NextToken"]}


def _settled(machines: Mapping[str, Machine]) -> dict[str, Machine]:
    return {each: machine for each, machine in machines.items() if machine.settled}


def _machine(described: Mapping[str, Any]) -> Machine:
    return Machine(
        state=described["State"]["Name"],
        private_dns_name=described.get("PrivateDnsName") or "",
        addresses=_addresses(described),
        launched_at=described.get("LaunchTime"),
        made_at=_made_at(described),
    )


def _addresses(described: Mapping[str, Any]) -> frozenset[str]:
    interfaces = [described, *described.get("NetworkInterfaces", [])]
    private = [each for interface in interfaces for each in [interface, *interface.get("PrivateIpAddresses", [])]]
    addresses = {each.get("PrivateIpAddress") for each in private} | {described.get("PublicIpAddress")}
    v6 = {each.get("Ipv6Address") for interface in interfaces for each in interface.get("Ipv6Addresses", [])}
    return frozenset(address for address in addresses | v6 if address)


def _made_at(described: Mapping[str, Any]) -> datetime | None:
    """When its primary network interface was attached: LaunchTime is that of its last start.

    https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceNetworkInterfaceAttachment.html
    """
    attachments = (interface.get("Attachment") or {} for interface in described.get("NetworkInterfaces", []))
    return next((each.get("AttachTime") for each in attachments if each.get("DeviceIndex") == 0), None)
