"""The summary of many seeds."""

from collections import Counter

from tests.simulation.evidence import INVARIANTS
from tests.simulation.run import Result

CIRCUMSTANCES = (
    *("labelled job", "labelled service that finishes", "service pinned to a node", "service with a local volume"),
    *("protected node", "weighted group"),
)
"""What some worlds have from their beginning."""
ANSWERS = (
    "answer: a machine that is not taken is given back",
    "answer: a recommended machine is drained",
    *(f"answer: replacement for a planned change {state}" for state in ("succeeded", "failed")),
)
"""What workers have made of the rarer events."""
NO_FAULTS = (
    *CIRCUMSTANCES,
    *ANSWERS,
    *("take-overs", "message: poison", "message: stale", "message: visible again", "message: written twice"),
    *("aws: Describe is old", "message: out of order"),
)
"""What is counted beside the faults, or is too common to be counted among them."""
FAULTS = (
    *("process: crash", "process: pause", "process: suspend", "process: stop"),
    *("message: in two hands", "message: again after its delete", "message: late", "message: out of order"),
    *("call: answer lost", "call: question lost", "call: late effect", "call: sent twice", "call: throttled"),
    *(f"trouble: outage of {name}" for name in ("queue", "table", "aws", "swarm")),
    *(f"trouble: alertmanager {how}" for how in ("hangs", "fails", "refuses")),
    *("trouble: clock steps", "aws: Describe is old", "aws: Describe goes back"),
    *("trouble: instance dies", "trouble: rebalancing", "trouble: launches refused"),
    *("machine: never joins", "machine: boots late", "trouble: node down"),
    *("trouble: tasks that will not stop", "trouble: tasks that fail"),
    *(f"trouble: group blocked: {what}" for what in ("Launch", "Terminate", "refresh")),
    *(f"trouble: somebody {does}" for does in ("sets desired", "sets availability", "scales")),
    *("trouble: engine joins again", "trouble: two nodes claim an instance", "trouble: foreign node goes down"),
    *("trouble: stray beside an instance that never joins", "trouble: task with restart attempts fails"),
    *(f"trouble: somebody changes a node during {step}" for step in ("drain", "undo")),
    *("trouble: suspended between reading and writing", "trouble: journal away after a termination"),
    *("event: late", "event: comes twice", "event: never comes", "trouble: event of no concern"),
    *("trouble: machine retired", "trouble: spot interruption", "trouble: capacity rebalance"),
    *("trouble: instance refresh", "trouble: change of a machine planned", "trouble: two managers leave"),
    *("trouble: the active worker's machine leaves", "trouble: a node that is drained leaves"),
    "trouble: announced machine is not taken",
    *ANSWERS,
    *CIRCUMSTANCES,
)
"""Every kind of fault that there must be."""
DUPLICATES = ("message: in two hands", "message: again after its delete", "message: written twice")


class Summary:
    """Adds results up."""

    def __init__(self) -> None:
        self.seeds = 0
        self.requests = 0
        self.virtual_seconds = 0.0
        self.counts: Counter[str] = Counter()
        self.violations: Counter[int] = Counter()
        self.failed: list[Result] = []

    def add(self, result: Result) -> None:
        """One more seed."""
        self.seeds += 1
        self.requests += result.requests
        self.virtual_seconds += result.seconds
        self.counts.update(result.counts)
        self.violations.update({violation.invariant for violation in result.violations})
        if result.violations:
            self.failed.append(result)
            self.failed.sort(key=lambda failed: failed.seed)

    @property
    def faults(self) -> int:
        """Everything that went wrong, or was made to."""
        return sum(count for name, count in self.counts.items() if name not in NO_FAULTS)

    def table(self, seconds: float) -> str:
        """For people."""
        rows: list[tuple[str, object]] = [
            ("schedules", self.seeds),
            ("requests", f"{self.requests} ({self.requests / max(self.seeds, 1):.1f} a seed)"),
            ("faults", f"{self.faults} ({self.faults / max(self.seeds, 1):.1f} a seed)"),
            ("take-overs", self.counts["take-overs"]),
            ("crashes", self.counts["process: crash"]),
            ("pauses", self.counts["process: pause"] + self.counts["process: suspend"]),
            ("duplicates", sum(self.counts[name] for name in DUPLICATES)),
            ("virtual time", f"{self.virtual_seconds / 3600:.1f} hours"),
            ("wall time", f"{seconds:.1f} s ({self.seeds / seconds:.1f} seeds a second)"),
            *((f"  {name}", count) for name, count in sorted(self.counts.items()) if name != "take-overs"),
            *((f"violations of {number} ({INVARIANTS[number]})", n) for number, n in sorted(self.violations.items())),
            ("seeds with a violation", len(self.failed)),
        ]
        width = max(len(name) for name, _ in rows)
        return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
