"""The templates as ministack takes them: what it refuses is taken out here, and listed with the reason.

Two emulators, for two things. moto (the embedded AWS, `infra.local.aws.templates`) has instances, and so bears what is
on a stack: the tutorial, the lab, user data. It fails to delete route tables, and ignores much of an update. ministack
applies whole templates, their updates and deletions, but launches nothing: it is for the life of the stacks themselves.
"""

from __future__ import annotations

import re
from typing import Final

REFUSED: Final = {
    "GossipTcp": "ministack does not know the type AWS::EC2::SecurityGroupIngress",
    "GossipUdp": "the same",
    "Overlay": "the same",
    "EncryptedOverlay": "the same",
    "Redirected": "the same",
    "Encrypted": "the same",
}
GIVEN: Final = {
    "ImageX86": "ministack has none of AWS's public SSM parameters: the test puts one of its own",
    "ImageArm": "the same",
}


def for_ministack(template: str) -> str:
    """The template without the resources in REFUSED, to which nothing refers."""
    for name in REFUSED:
        template = re.sub(rf"^  {name}:\n(?:    .*\n|\n)+?(?=^  \S|^\S)", "", template, flags=re.MULTILINE)
    return template
