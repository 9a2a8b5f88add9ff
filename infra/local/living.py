"""Which instances of the groups live: asked of EC2, as any client would.

Whoever hears which instances have changed asks about those, and only rarely about all: a thousand descriptions take
longer to read than a machine to boot.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from localstack_client.session import Session

from infra.local.machines import BootedInstance, Role

_log = logging.getLogger(__name__)

RARELY_SECONDS: Final = 60.0
GROUP_TAG: Final = "aws:autoscaling:groupName"
_ALIVE: Final = ("pending", "running")

Changes = Callable[[int], Sequence[str]]
"""The instances that have changed, one for each change, without the first so many changes."""


class Living:
    """`instances`, by id, as EC2 last told: managers and older ones first."""

    def __init__(self, session: Session, groups: Mapping[str, Role], changes: Changes | None) -> None:
        self.instances: dict[str, tuple[BootedInstance, Role]] = {}
        self._ec2 = session.client("ec2")
        self._groups = dict(groups)
        self._changes = changes
        self._changes_seen = 0
        self._all_seen_at: float | None = None

    def look(self) -> bool:
        """Ask, where there may be something new. False: there is not, or EC2 does not answer."""
        changed = [] if self._changes is None else self._changes(self._changes_seen)
        every_one = self._changes is None or self._overdue()
        if not every_one and not changed:
            return False
        try:
            self._ask(None if every_one else sorted(set(changed)))
        except (BotoCoreError, ClientError) as error:
            self._all_seen_at = None
            _log.warning("launcher-sees-nothing: %s", error)
            return False
        self._changes_seen += len(changed)
        return True

    def _overdue(self) -> bool:
        return self._all_seen_at is None or time.monotonic() >= self._all_seen_at + RARELY_SECONDS

    def _ask(self, ids: Sequence[str] | None) -> None:
        """About some instances, or about all."""
        began, found = time.monotonic(), self._describe(ids)
        if ids is None:
            self._all_seen_at = began
        kept = {} if ids is None else {each: known for each, known in self.instances.items() if each not in ids}
        self.instances = kept | {instance.instance_id: (instance, role) for instance, role in found}

    def _describe(self, ids: Sequence[str] | None) -> list[tuple[BootedInstance, Role]]:
        filters = [
            {"Name": f"tag:{GROUP_TAG}", "Values": list(self._groups)},
            {"Name": "instance-state-name", "Values": list(_ALIVE)},
        ]
        named = [] if ids is None else [{"Name": "instance-id", "Values": list(ids)}]
        pages = self._ec2.get_paginator("describe_instances").paginate(Filters=filters + named)
        found = [one for page in pages for reservation in page["Reservations"] for one in reservation["Instances"]]
        found.sort(key=lambda one: (self._role(one) == "worker", one["LaunchTime"]))
        return [(_instance(one), self._role(one)) for one in found]

    def _role(self, described: Mapping[str, Any]) -> Role:
        tags = {tag["Key"]: tag["Value"] for tag in described["Tags"]}
        return self._groups[tags[GROUP_TAG]]


def _instance(described: Mapping[str, Any]) -> BootedInstance:
    return BootedInstance(
        described["InstanceId"],
        described["PrivateDnsName"],
        described["PrivateIpAddress"],
        described["Placement"]["AvailabilityZone"],
        described["InstanceType"],
    )
