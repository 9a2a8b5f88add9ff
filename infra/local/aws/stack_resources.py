"""Resources of stacks that moto's CloudFormation does not know, and so warns about and leaves out."""

from __future__ import annotations

from typing import Any, ClassVar, Self


class StackResource:
    """What their types have in common. Each is a direct subclass of moto's model too: so moto finds it."""

    TYPE: ClassVar[str]
    """What templates call it."""
    NAMED_BY: ClassVar[str | None] = None
    """The property that names it."""

    def __init__(self, name: str) -> None:
        self.name = self.physical_resource_id = name

    @classmethod
    def put(cls, name: str, properties: dict[str, Any], account_id: str, region_name: str) -> Self:
        """Make it."""
        raise NotImplementedError

    def delete(self, account_id: str, region_name: str) -> None:
        """Take it away, where what it belongs to is still there."""
        raise NotImplementedError

    @classmethod
    def cloudformation_name_type(cls) -> str | None:
        """As moto asks."""
        return cls.NAMED_BY

    @classmethod
    def cloudformation_type(cls) -> str:
        """As moto asks."""
        return cls.TYPE

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: Any, account_id: str, region_name: str, **_: Any
    ) -> Self:
        """As moto asks."""
        return cls.put(resource_name, cloudformation_json["Properties"], account_id, region_name)

    @classmethod
    def update_from_cloudformation_json(
        cls,
        original_resource: Self,
        new_resource_name: str,
        cloudformation_json: Any,
        account_id: str,
        region_name: str,
    ) -> Self:
        """The newer one takes the place of the older."""
        original_resource.delete(account_id, region_name)
        return cls.create_from_cloudformation_json(new_resource_name, cloudformation_json, account_id, region_name)
