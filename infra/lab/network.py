"""The lab's network: a bridge, and for each machine a network namespace with one link on it.

Addresses are those that AWS gave the instances; the bridge itself has the last one of the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Final

from infra.lab.commands import run
from infra.lab.places import BRIDGE, LINK_PREFIX, NAMESPACE_PREFIX, NAMESPACES
from infra.local.children import SetUpFailed

# Frames between the machines would otherwise go through the host's firewall, where one usually drops them.
FILTERED: Final = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
_BLOCKS: Final = tuple(IPv4Network(f"10.{second}.0.0/16") for second in (0, 73, 113, 151, 199, 231))


async def free_block() -> IPv4Network:
    """A /16 that leads nowhere else on this machine. Raises SetUpFailed where there is none."""
    routes = json.loads(await run("ip", "-json", "-4", "route", "show", "table", "all"))
    taken = [IPv4Network(_prefix(route["dst"])) for route in routes if route["dst"] != "default"]
    for block in _BLOCKS:
        if not any(block.overlaps(other) for other in taken):
            return block
    raise SetUpFailed(f"Each of {', '.join(map(str, _BLOCKS))} is in use on this machine")


async def open_bridge(block: IPv4Network) -> None:
    """The bridge, up, where the machines' links will be."""
    if FILTERED.exists():
        FILTERED.write_text("0")
    await _ip(
        f"link add {BRIDGE} type bridge",
        f"addr add {block[-2]}/{block.prefixlen} dev {BRIDGE}",
        f"link set {BRIDGE} up",
    )


def namespace(hostname: str) -> str:
    """The name of a machine's namespace."""
    return f"{NAMESPACE_PREFIX}{hostname}"


def namespace_path(hostname: str) -> Path:
    """What a process enters it by."""
    return NAMESPACES / namespace(hostname)


def link(address: str) -> str:
    """The name of the bridge's side of a machine's link; at most 15 bytes."""
    return f"{LINK_PREFIX}-{'-'.join(address.split('.')[2:])}"


async def attach(hostname: str, address: str, block: IPv4Network) -> None:
    """A namespace on the bridge."""
    name, own = namespace(hostname), link(address)
    await _ip(
        f"netns add {name}",
        f"link add {own} type veth peer name eth0 netns {name}",
        f"link set {own} master {BRIDGE} up",
    )
    await _ip(f"addr add {address}/{block.prefixlen} dev eth0", "link set eth0 up", "link set lo up", within=name)


async def detach(hostname: str, address: str) -> None:
    """The namespace and its link are gone, whether they were there or not."""
    for line in (f"link del {link(address)}", f"netns del {namespace(hostname)}"):
        with suppress(SetUpFailed):
            await _ip(line)


async def cut(address: str) -> None:
    """The machine runs on, and nobody reaches it."""
    await _ip(f"link set {link(address)} down")


async def mend(address: str) -> None:
    """It is reached again."""
    await _ip(f"link set {link(address)} up")


async def close_bridge() -> None:
    """Every namespace, link and bridge of the lab is gone; also those of a lab that crashed."""
    for name in _namespaces():
        await run("ip", "netns", "del", name)
    for name in await _links():
        with suppress(SetUpFailed):  # gone with its peer
            await _ip(f"link del {name}")


async def left() -> list[str]:
    """What is there of a lab's network, in words."""
    return [f"namespace {name}" for name in _namespaces()] + [f"link {name}" for name in await _links()]


def _namespaces() -> Iterable[str]:
    return sorted(path.name for path in NAMESPACES.glob(f"{NAMESPACE_PREFIX}*"))


async def _links() -> list[str]:
    links = [one["ifname"] for one in json.loads(await run("ip", "-json", "link", "show"))]
    return [name for name in links if name == BRIDGE or name.startswith(f"{LINK_PREFIX}-")]


async def _ip(*lines: str, within: str | None = None) -> None:
    await run("ip", *(("-netns", within) if within else ()), "-batch", "-", typed="\n".join(lines) + "\n")


def _prefix(destination: str) -> str:
    return destination if "/" in destination else f"{destination}/32"
