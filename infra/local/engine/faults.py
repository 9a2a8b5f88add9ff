"""What can be made to go wrong, from outside, at any time.

faults.api.append(ApiFault("/nodes", delay=2.0))      # slow
faults.api.append(ApiFault("/services", status=500))  # failing
faults.api.append(ApiFault("/", drop=True))           # every connection is cut
faults.unstoppable_services.add("web")                # tasks of it do not stop ...
faults.release_tasks()                                # ... until now
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ApiFault:
    """Of requests whose path (without version) starts with `prefix`: answer late, with an error, or not at all."""

    prefix: str
    delay: float = 0.0
    status: int = 0
    message: str = "injected fault"
    drop: bool = False
    method: str = ""

    def matches(self, method: str, path: str) -> bool:
        return path.startswith(self.prefix) and self.method in ("", method)


@dataclass(slots=True)
class Faults:
    """The faults of the moment. Services are named by name, nodes by id."""

    api: list[ApiFault] = field(default_factory=list)
    unstoppable_services: set[str] = field(default_factory=set)
    unstoppable_nodes: set[str] = field(default_factory=set)
    frozen_updates: set[str] = field(default_factory=set)
    missing_images: set[str] = field(default_factory=set)
    failing_services: set[str] = field(default_factory=set)
    _on_release: list[Callable[[], None]] = field(default_factory=list)

    def api_fault(self, method: str, path: str) -> ApiFault | None:
        return next((fault for fault in self.api if fault.matches(method, path)), None)

    def keeps_running(self, service_name: str, node_id: str) -> bool:
        return service_name in self.unstoppable_services or node_id in self.unstoppable_nodes

    def lacks_image(self, image: str) -> bool:
        return "missing" in image or image in self.missing_images

    def freezes_updates_of(self, service_name: str) -> bool:
        return bool(self.frozen_updates & {service_name, "*"})

    def on_release(self, call: Callable[[], None]) -> None:
        """Have `call` made whenever faults that hold something back are taken away."""
        self._on_release.append(call)

    def release_tasks(self) -> None:
        """Let every task stop that was asked to."""
        self.unstoppable_services.clear()
        self.unstoppable_nodes.clear()
        self.recheck()

    def release_updates(self) -> None:
        """Let every frozen update go on."""
        self.frozen_updates.clear()
        self.recheck()

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.api.clear()
        self.missing_images.clear()
        self.failing_services.clear()
        self.unstoppable_services.clear()
        self.unstoppable_nodes.clear()
        self.release_updates()

    def recheck(self) -> None:
        """Let go of what was held back and, as the faults are now, is held back no more."""
        for call in self._on_release:
            call()
