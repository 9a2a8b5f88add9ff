"""What is asked for in a world: ups and downs of both types, bursts, services, duplicates, and nonsense."""

import json
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.simulation.world import World

POISON = (
    "not JSON at all",
    "[]",
    '{"action": "scale-nodes", "scale": "sideways", "type": "worker"}',
    '{"action": "scale-nodes", "scale": "up", "type": "worker", "by": "-3"}',
    '{"action": "make-coffee"}',
    '{"action": "scale-service", "scale": "up"}',
)
SERVICES = ("demo", "api", "plain", "agent", "nowhere")
DELAYED, STALE = 0.15, 0.04
NAMING = 0.35
"""How many worlds have requests about single nodes."""
REPLACING = 0.5
"""How many of these are to replace one."""


@dataclass(slots=True)
class Sent:
    """A message that somebody wrote, as the sender knows it."""

    message_id: str
    request_id: str
    body: str
    good: bool
    time: float
    key: str | None = None
    """What makes it a duplicate of others with the same."""


@dataclass(slots=True)
class Workload:
    """Sends the messages of a world."""

    world: "World"
    random: Random
    sent: list[Sent] = field(default_factory=list)
    numbers: int = 0

    def arrange(self) -> None:
        """Put everything on the world's calendar."""
        profile = self.world.profile
        while self.numbers < profile.requests:
            when = self.random.random() * profile.seconds
            draw = self.random.random()
            if draw < 0.1:
                self._burst(when)
            elif draw < 0.2:
                self._delivered_again(when)
            else:
                self._one(when, self._request())
        self._name_nodes()
        self._steer(self.world.random("steering"))
        if self.random.random() < 0.3:
            when, body = self.random.random() * profile.seconds, self.random.choice(POISON)
            if self.world.decides("poison", f"{body} at {when:.3f} s"):
                self.world.loop.call_at(when, self._poison, body)

    def _steer(self, random: Random) -> None:
        """Pauses, resumes, cancellations and dry runs, with luck of their own: the other messages stay as they are."""
        seconds = self.world.profile.seconds
        for number in range(random.choice((0, 1, 2, 3))):
            when, draw = random.random() * seconds, random.random()
            if draw < 0.2:
                self._steering(when, f"p{number}", {"action": "pause", "for": random.choice((5, 60, 600))})
            elif draw < 0.3:
                self._steering(when, f"r{number}", {"action": "resume"})
            elif draw < 0.65:
                other = f"m{random.randint(1, max(self.numbers, 1))}"
                self._steering(when, f"c{number}", {"action": "cancel", "request": other})
            else:
                request = self._tried(random)
                self._steering(when, f"d{number}", {**request, "dry_run": True, "version": 2})

    def _steering(self, when: float, name: str, request: dict[str, Any]) -> None:
        if self.world.decides(name, f"{json.dumps(request)} at {when:.3f} s"):
            self.world.loop.call_at(when, self._send, request, name, 0.0)

    @staticmethod
    def _tried(random: Random) -> dict[str, Any]:
        kind = random.choice(("worker", "worker", "manager"))
        return {"action": "scale-nodes", "scale": random.choice(("up", "down", "down")), "type": kind}

    @property
    def last(self) -> float:
        """When the last message was sent."""
        return max((sent.time for sent in self.sent), default=0.0)

    def _one(self, when: float, request: dict[str, Any]) -> None:
        self.numbers += 1
        name, late = f"m{self.numbers}", self._delay()
        if self.random.random() < STALE:
            request["requested_at"] = "2026-11-01T09:00:00Z"
        if self.world.decides(name, f"{json.dumps(request)} at {when:.3f} s"):
            self.world.loop.call_at(when, self._send, request, name, late)

    def _burst(self, when: float) -> None:
        kind = self.random.choice(("worker", "worker", "manager"))
        way = self.random.choice(("up", "up", "down"))
        for _ in range(self.random.randint(2, 3)):
            self._one(when + self.random.random(), {"action": "scale-nodes", "scale": way, "type": kind})

    def _name_nodes(self) -> None:
        """Requests about single nodes; who has one drained wants it back later, mostly."""
        luck = self.world.random("named nodes")
        for _ in range(luck.randint(1, 3) if luck.random() < NAMING else 0):
            when, place = luck.random() * self.world.profile.seconds, luck.random()
            if luck.random() < REPLACING:
                self._one(when, {"action": "replace-node", "node": place})
                continue
            self._one(when, {"action": "drain-node", "node": place})
            if luck.random() < 0.8:
                self._one(when + 60 * luck.random(), {"action": "drain-node", "node": place, "back": True})

    def _name(self, place: float) -> str:
        """A node that there is by then, by its hostname or its id; or nobody."""
        nodes = sorted(self.world.swarm.cluster.nodes.values(), key=lambda node: node.id)
        names = [*(node.hostname for node in nodes), *(node.id for node in nodes[:1]), "nobody"]
        return names[int(place * len(names))]

    def _delivered_again(self, when: float) -> None:
        """One thing, written several times: under one id, or with one key."""
        request = self._request()
        how = self.random.choice(("id", "idempotency_key", "dedup_key"))
        request[how] = f"same-{self.numbers}"
        for _ in range(self.random.randint(2, 3)):
            self._one(when + self.random.choice((0.0, 0.3, 8.0)) * self.random.random(), dict(request))

    def _request(self) -> dict[str, Any]:
        draw = self.random.random()
        if draw < 0.35:
            return self._nodes("up")
        if draw < 0.70:
            return self._nodes("down")
        if draw < 0.85:
            way = self.random.choice(("up", "down"))
            service = self.random.choice(SERVICES[:3] if self.random.random() < 0.9 else SERVICES)
            return {"action": "scale-service", "service": service, "scale": way, "by": self.random.randint(1, 2)}
        if draw < 0.93:
            return {"action": "reschedule-services"}
        return {"action": "reschedule-service", "service": self.random.choice(SERVICES)}

    def _nodes(self, way: str) -> dict[str, Any]:
        kind = "manager" if self.random.random() < 0.25 else "worker"
        return {"action": "scale-nodes", "scale": way, "type": kind, "by": self.random.choice((1, 1, 1, 2))}

    def _send(self, request: dict[str, Any], message_id: str, late: float) -> None:
        if isinstance(place := request.get("node"), float):
            request = {**request, "node": self._name(place)}
        world, body = self.world, json.dumps(request)
        key = request.get("idempotency_key") or request.get("dedup_key")
        world.trace.counts["message: stale"] += "requested_at" in request
        world.trace.counts["message: written twice"] += "same-" in str(key or request.get("id"))
        world.trace.counts["message: late"] += late > 0
        request_id = request.get("id", message_id)
        self.sent.append(Sent(message_id, request_id, body, True, world.clockwork.now, key))
        world.trace.add("sender", "@ message", id=message_id, body=body)
        world.queue.send(body, message_id, delay=late)

    def _delay(self) -> float:
        """For how long a message is on its way into the queue."""
        late = 15.0 * self.random.random() if self.random.random() < DELAYED else 0.0
        return late if self.world.profile.has("messages") else 0.0

    def _poison(self, body: str) -> None:
        world = self.world
        message_id = "poison"
        self.sent.append(Sent(message_id, message_id, body, False, world.clockwork.now))
        world.trace.counts["message: poison"] += 1
        world.trace.add("sender", "@ poison", id=message_id, body=body)
        world.queue.send(body, message_id)
