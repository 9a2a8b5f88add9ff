"""The project's CloudFormation templates as the embedded AWS takes them.

What moto refuses is taken out here, and listed with the reason; nothing else is changed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parents[2] / "cloudformation"
SWARM: Final = _FOLDER / "swarm.yaml"
SCALER: Final = _FOLDER / "scaler.yaml"

REFUSED: Final = {
    "Http": "moto's CloudFormation makes every load balancer an application one, which has no TCP listeners",
    "Https": "the same",
    "WayOut": "moto's CloudFormation does not know AWS::CloudFormation::WaitConditionHandle",
}
REFUSED_PROPERTIES: Final = {
    "TargetGroupARNs": "an instance that is still pending cannot be registered with moto's target groups",
}
_NETWORK: Final = re.compile(r"^( +CidrBlock: )10\.0\.", re.MULTILINE)


def for_emulator(template: str) -> str:
    """The template without the resources in REFUSED, to which nothing but an order refers, and those properties."""
    for name in REFUSED:
        template = re.sub(rf"^ +DependsOn: {name}\n", "", template, flags=re.MULTILINE)
        template = re.sub(rf"^  {name}:\n(?:    .*\n|\n)+?(?=^  \S|^\S)", "", template, flags=re.MULTILINE)
    for name in REFUSED_PROPERTIES:
        template = re.sub(rf"^( +){name}:.*\n(?:\1 +.*\n)*", "", template, flags=re.MULTILINE)
    return template


def moved(template: str, prefix: str) -> str:
    """The template with its network at `PREFIX.0.0/16` instead of 10.0.0.0/16, which a machine may use already."""
    return _NETWORK.sub(rf"\g<1>{prefix}.", template)
