"""The templates as the embedded AWS takes them: what it refuses is taken out here, and listed with the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "infra" / "cloudformation"
SWARM: Final = FOLDER / "swarm.yaml"
SCALER: Final = FOLDER / "scaler.yaml"

REFUSED: Final = {
    "Http": "moto's CloudFormation makes every load balancer an application one, which has no TCP listeners",
    "Https": "the same",
}
REFUSED_PROPERTIES: Final = {
    "TargetGroupARNs": "an instance that is still pending cannot be registered with moto's target groups",
}


def for_emulator(template: str) -> str:
    """The template without the resources in REFUSED, to which nothing refers, and without those properties."""
    for name in REFUSED:
        template = re.sub(rf"^  {name}:\n(?:    .*\n|\n)+?(?=^  \S|^\S)", "", template, flags=re.MULTILINE)
    for name in REFUSED_PROPERTIES:
        template = re.sub(rf"^ +{name}: .*\n", "", template, flags=re.MULTILINE)
    return template
