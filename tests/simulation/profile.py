"""What a seed decides beforehand: the settings, the size of the world, and the kinds of trouble in store."""

from dataclasses import dataclass, replace
from random import Random

from worker.settings import WorkerSettings

TROUBLES = (
    *("crash", "pause", "suspend", "stop"),
    *("outage", "calls", "clock"),
    *("lag", "kill", "rebalance", "boot", "refusal", "blocked"),
    *("node", "stuck", "broken"),
    *("desired", "availability", "replicas"),
    *("messages", "alerts"),
)
"""Kinds of trouble. Some worlds have all of them, others a few, and some hardly any."""
RARE = ("rejoin", "baked", "stray", "foreign", "attempts", "meddle", "late-write", "lost-count")
"""Kinds of trouble that would hide the others if there were much of them."""
RARITY = 0.4
"""How often there is one of the rare kinds, compared with the others."""


EVENTS = ("retire", "spot", "move", "refresh", "plan", "chatter", "meet", "two", "own", "states", "launch", "others")
"""Kinds of what AWS does by itself."""
EVENTFUL, HOOKED = 1 / 6, 0.8
"""How many worlds have some of it, and how many of these our hook."""
ANSWERS = {"drain": {"rebalance_action": "drain"}, "replace": {"scheduled_change_action": "replace"}}
"""What people may have chosen to be done about it, beside what is done anyway."""
ANSWERED, UNTAKEN = 0.6, 0.4
"""How many of the worlds with events have each answer, and a machine that is announced and not taken."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The character of one world."""

    settings: WorkerSettings
    processes: int
    workers: int
    requests: int
    seconds: float
    """For so long there are new requests and new trouble."""
    troubles: frozenset[str]
    events: frozenset[str] = frozenset()
    """What AWS does by itself, with words. None: nothing of it."""
    protects: bool = True
    only: frozenset[str] | None = None
    """The names of the decisions that count; what else the seed decides is left out. None: all count."""

    def has(self, trouble: str) -> bool:
        """Whether this kind of trouble is in store."""
        return trouble in self.troubles


def draw(random: Random) -> Profile:
    """The profile of a seed."""
    share = random.choice((0.25, 0.5, 0.5, 0.8, 1.0))
    return Profile(
        settings=_settings(random),
        processes=random.choice((2, 2, 3)),
        workers=random.randint(1, 4),
        requests=random.randint(4, 9),
        seconds=random.choice((40.0, 70.0, 100.0)),
        troubles=frozenset(
            [
                *(trouble for trouble in TROUBLES if random.random() < share),
                *(trouble for trouble in RARE if random.random() < share * RARITY),
            ]
        ),
    )


def draw_events(random: Random) -> frozenset[str]:
    """What AWS does by itself in the world of a seed."""
    if random.random() >= EVENTFUL:
        return frozenset()
    share, hooks = random.choice((0.2, 0.4, 0.7)), ("hooks",) if random.random() < HOOKED else ()
    return frozenset([*hooks, *(kind for kind in EVENTS if random.random() < share)])


def with_events(seed: int, profile: Profile) -> Profile:
    """A profile with what AWS does by itself in the world of a seed, and what its people have chosen about that.

    What was thought of later has a stream of its own: worlds without it keep their histories.
    """
    events, random = draw_events(Random(f"{seed} events")), Random(f"{seed} answers")
    chosen = [answer for answer in ANSWERS if random.random() < ANSWERED] if events else []
    untaken = ["untaken"] if events and random.random() < UNTAKEN else []
    settings = profile.settings
    for answer in chosen:
        settings = settings.model_copy(update=ANSWERS[answer])
    return replace(profile, settings=settings, events=frozenset([*events, *chosen, *untaken]))


def _settings(random: Random) -> WorkerSettings:
    values = {
        "sqs_queue_url": "http://sqs/inbox",
        "sqs_dlq_url": "http://sqs/dead",
        "dynamodb_table": "table",
        "aws_manager_asg": "managers",
        "aws_worker_asg": "workers",
        "alertmanager_address": "http://alertmanager",
        "default_max_manager_nodes": 5,
        "default_max_worker_nodes": 6,
        "lease_seconds": random.choice((3, 5, 8, 12)),
        "reschedule_timeout": random.choice((40, 60)),
        "reschedule_ticker_interval": 15,
        "drain_timeout": random.choice((10, 20, 30)),
        "dedup_window": random.choice((20, 60)),
        "request_max_age": random.choice((60, 300, 300)),
        "scale_up_cooldown": random.choice((0, 0, 0, 10)),
        "scale_down_cooldown": random.choice((0, 0, 0, 10)),
        "alert_node_min": True,
    }
    return WorkerSettings.model_validate({key: _as_text(value) for key, value in values.items()})


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
