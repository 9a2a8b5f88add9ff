"""How the simulated Swarm behaves: its times and limits."""

from dataclasses import dataclass


@dataclass(slots=True)
class SwarmConfig:
    """Times in seconds. May be changed while the Swarm runs; what has begun keeps its time.

    Real engines take about 15 s (`down_detection_seconds`), 3 to 10 s (`election_seconds`) and 5 s
    (`update_monitor_seconds`, for updates that do not say).
    """

    start_seconds: float = 0.5
    stop_seconds: float = 0.5
    job_seconds: float = 0.5
    down_detection_seconds: float = 0.5
    election_seconds: float = 0.3
    role_change_seconds: float = 0.5
    update_begin_seconds: float = 0.0
    update_monitor_seconds: float = 5.0
    task_history_limit: int = 5
    seed: int | None = None
