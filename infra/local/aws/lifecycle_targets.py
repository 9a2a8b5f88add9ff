"""Who hears of a group's lifecycle actions: the hook's own target, a queue or a topic, and EventBridge."""

from __future__ import annotations

import json
from typing import Any

from moto.sns.models import sns_backends

from infra.local.aws.eventbridge import emit, send
from infra.local.aws.world import REGION, World
from infra.local.scaling import messages
from infra.local.scaling.hooks import Hook
from infra.local.scaling.lifecycle import Action


class LifecycleTargets:
    """Of one group. Everything under the world's lock."""

    def __init__(self, world: World, group: str) -> None:
        self._world = world
        self._group = group
        self._place = messages.Place(world.account_id, REGION)
        self.group_arn = ""

    def put(self, hook: Hook) -> None:
        """A hook was put: its target hears of it once."""
        if hook.target_arn:
            self._notify(hook.target_arn, messages.test_notification(self._place, self._group, self.group_arn))

    def tell(self, action: Action) -> None:
        """An instance waits for its hook."""
        detail, target = action.detail(self._group), action.hook.target_arn
        if target:
            self._notify(target, messages.hook_message(self._place, detail))
        emit(self._world, messages.lifecycle_event(self._place, self.group_arn, detail))

    def _notify(self, target_arn: str, document: dict[str, Any]) -> None:
        service, name = target_arn.split(":")[2], target_arn.rpartition(":")[2]
        if service == "sqs":
            send(self._world, name, document)
        elif service == "sns":
            subject = f'Auto Scaling: Lifecycle action for group "{self._group}"'
            sns_backends[self._world.account_id][REGION].publish(json.dumps(document), arn=target_arn, subject=subject)
            self._world.ring_all()
