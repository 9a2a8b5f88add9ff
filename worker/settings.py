"""The worker's settings."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from shared.settings import URL, Backend, Seconds, Settings, standard_queue

Count = Annotated[int, Field(ge=0, le=10_000)]
By = Annotated[int, Field(ge=1, le=10_000)]
Label = Annotated[str, Field(min_length=1, max_length=255)]


class WorkerSettings(Settings):
    """Everything that `python -m worker` reads from the environment."""

    model_config = ConfigDict(validate_default=True)

    sqs_dlq_url: Annotated[
        str, Field(pattern=URL, description="The dead-letter queue, a standard one."), AfterValidator(standard_queue)
    ]
    node_scaler_backend: Backend = Field("aws", description="`aws`, or `none` (or empty): no node scaling.")
    aws_manager_asg: str | None = Field(None, description="The managers' Auto Scaling group.")
    aws_worker_asg: str | None = Field(None, description="The workers' Auto Scaling group.")
    docker_tls_verify: str | None = Field(
        None,
        description="Set to anything: a `tcp://` engine is spoken to by TLS and must show a certificate that "
        "`ca.pem` has signed, as with the `docker` command. Unset: no TLS.",
    )
    docker_host: str = Field(
        "unix:///var/run/docker.sock",
        pattern=r"^(unix:///|tcp://|https?://)\S+$",
        description="The Docker socket of a Swarm manager. `tcp://HOST` without a port means port 2375, with "
        "`DOCKER_TLS_VERIFY` 2376.",
    )
    docker_cert_path: str | None = Field(
        None,
        description="The folder of `ca.pem`, `cert.pem` and `key.pem`; counts only, and is then required, where "
        "`DOCKER_TLS_VERIFY` is set and `DOCKER_HOST` is no unix socket.",
    )
    worker_port: int = Field(8081, ge=0, le=65535, description="Port of `/healthz` and `/metrics`; 0 turns them off.")

    alert_node_min: bool = Field(False, description="Notify when nodes are at their minimum already.")
    alert_node_max: bool = Field(True, description="Notify when nodes are at their maximum already.")
    alert_scale_min: bool = Field(False, description="Notify when replicas are at their minimum already.")
    alert_scale_max: bool = Field(True, description="Notify when replicas are at their maximum already.")

    default_min_manager_nodes: Count = Field(3, description="Fewest managers.")
    default_max_manager_nodes: Count = Field(7, description="Most managers.")
    default_min_worker_nodes: Count = Field(0, description="Fewest workers.")
    default_max_worker_nodes: Count = Field(5, description="Most workers.")
    default_scale_manager_node_up_by: By = Field(1, description="Managers added by one request.")
    default_scale_manager_node_down_by: By = Field(1, description="Managers removed by one request.")
    default_scale_worker_node_up_by: By = Field(1, description="Workers added by one request.")
    default_scale_worker_node_down_by: By = Field(1, description="Workers removed by one request.")
    default_min_replicas: Count = Field(1, description="Fewest replicas of a service.")
    default_max_replicas: Count = Field(5, description="Most replicas of a service.")
    default_scale_service_up_by: By = Field(1, description="Replicas added by one request.")
    default_scale_service_down_by: By = Field(1, description="Replicas removed by one request.")

    min_scale_label: Label = Field("com.df.scaleMin", description="Label key: fewest replicas.")
    max_scale_label: Label = Field("com.df.scaleMax", description="Label key: most replicas.")
    scale_down_by_label: Label = Field("com.df.scaleDownBy", description="Label key: replicas removed by one request.")
    scale_up_by_label: Label = Field("com.df.scaleUpBy", description="Label key: replicas added by one request.")
    min_scale_manager_node_label: Label = Field("com.df.scaleManagerNodeMin", description="Label key: fewest managers.")
    max_scale_manager_node_label: Label = Field("com.df.scaleManagerNodeMax", description="Label key: most managers.")
    scale_manager_node_down_by_label: Label = Field(
        "com.df.scaleManagerNodeDownBy", description="Label key: managers removed."
    )
    scale_manager_node_up_by_label: Label = Field(
        "com.df.scaleManagerNodeUpBy", description="Label key: managers added."
    )
    min_scale_worker_node_label: Label = Field("com.df.scaleWorkerNodeMin", description="Label key: fewest workers.")
    max_scale_worker_node_label: Label = Field("com.df.scaleWorkerNodeMax", description="Label key: most workers.")
    scale_worker_node_down_by_label: Label = Field(
        "com.df.scaleWorkerNodeDownBy", description="Label key: workers removed."
    )
    scale_worker_node_up_by_label: Label = Field("com.df.scaleWorkerNodeUpBy", description="Label key: workers added.")

    reschedule_filter_label: Label = Field(
        "com.df.reschedule=true", pattern=r"^[^=\s]", description="Which services are rescheduled."
    )
    reschedule_env_key: str = Field(
        "RESCHEDULE_DATE", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Their environment variable that is set."
    )
    reschedule_timeout: Seconds = Field(
        timedelta(seconds=1000), description="Seconds: longest wait for nodes, and for one service's update."
    )
    reschedule_ticker_interval: Seconds = Field(
        timedelta(seconds=60), description="Seconds between the progress reports of a waiting request."
    )
    drain_timeout: Seconds = Field(
        timedelta(seconds=300), description="Seconds: longest wait for tasks to leave a node."
    )
    lifecycle_hooks: str = Field(
        "scaler-launch,scaler-terminate",
        pattern=r"^[A-Za-z0-9_/-]+(,[A-Za-z0-9_/-]+)*$",
        description="Names of the lifecycle hooks that the worker completes, separated by commas; others are left "
        "alone.",
    )
    launch_hook_result: Literal["ABANDON", "CONTINUE"] = Field(
        "ABANDON",
        description="What becomes of an instance that a launch hook holds and that does not join in time. "
        "`ABANDON`: it ends, and AWS launches another.",
    )
    rebalance_action: Literal["none", "drain"] = Field(
        "none",
        description="What is done where EC2 recommends to replace a spot instance. `drain`: its node is drained, "
        "if its group replaces such instances (capacity rebalance); `none`: nothing.",
    )
    scheduled_change_action: Literal["notify", "replace"] = Field(
        "notify",
        description="What is done where AWS Health announces a change of a machine. `notify`: people are told; "
        "`replace`: its node is replaced, too.",
    )
    reschedule_on_join: bool = Field(
        True, description="Reschedule labelled services when a node joins that no request asked for."
    )
    dedup_window: Seconds = Field(
        timedelta(seconds=300), description="Seconds in which the same Alertmanager delivery counts once."
    )
    request_max_age: Seconds = Field(timedelta(seconds=1800), description="Seconds after which a request is stale.")
    scale_up_cooldown: Seconds = Field(
        timedelta(0), description="Seconds without a further up after one ended, per node type."
    )
    scale_down_cooldown: Seconds = Field(
        timedelta(0), description="Seconds without a further down after one ended, per node type."
    )
    lease_seconds: Seconds = Field(
        timedelta(seconds=15), description="Seconds, 3 or more: how soon another worker takes over from one that died."
    )

    @field_validator("docker_host")
    @classmethod
    def _with_port(cls, value: str, info: ValidationInfo) -> str:
        if value.startswith("unix:"):
            return value
        try:
            host, port = urlsplit(value).hostname, urlsplit(value).port
        except ValueError:
            host, port = None, None
        if not host or port == 0:
            raise ValueError("must be like unix:///var/run/docker.sock or tcp://HOST:PORT")
        by_tls = bool(info.data.get("docker_tls_verify"))
        if by_tls and value.startswith("http://"):
            raise ValueError("http:// is without TLS, but DOCKER_TLS_VERIFY is set; write tcp://, or take that away")
        return value if port else _insert_port(value, by_tls)

    @field_validator("docker_cert_path")
    @classmethod
    def _with_tls(cls, value: str | None, info: ValidationInfo) -> str | None:
        host = info.data.get("docker_host", "unix:")
        if info.data.get("docker_tls_verify") and not host.startswith("unix:") and value is None:
            raise ValueError("required with DOCKER_TLS_VERIFY, but not set")
        return value

    @field_validator("lease_seconds")
    @classmethod
    def _long_enough(cls, value: timedelta) -> timedelta:
        if not timedelta(seconds=3) <= value <= timedelta(hours=1):
            raise ValueError("must be from 3 to 3600 seconds")
        return value

    @field_validator("reschedule_timeout", "reschedule_ticker_interval", "drain_timeout", "request_max_age")
    @classmethod
    def _some_time(cls, value: timedelta) -> timedelta:
        if value < timedelta(seconds=1):
            raise ValueError("must be 1 second or more")
        return value

    @field_validator("aws_manager_asg", "aws_worker_asg")
    @classmethod
    def _named(cls, value: str | None, info: ValidationInfo) -> str | None:
        if not value and info.data.get("node_scaler_backend") == "aws":
            raise ValueError("required with NODE_SCALER_BACKEND=aws, but not set")
        return value

    @field_validator("default_max_manager_nodes", "default_max_worker_nodes", "default_max_replicas")
    @classmethod
    def _not_below_the_minimum(cls, value: int, info: ValidationInfo) -> int:
        name = str(info.field_name).replace("_max_", "_min_")
        if value < info.data.get(name, 0):
            raise ValueError(f"{value} is less than {name.upper()}, which is {info.data[name]}")
        return value

    def hooks(self) -> frozenset[str]:
        """The names of our lifecycle hooks."""
        return frozenset(self.lifecycle_hooks.split(","))

    def call_timeout(self) -> timedelta:
        """The longest that one call to a dependency may take, retries included: under half the lease."""
        return min(timedelta(seconds=5), self.lease_seconds * 0.45)

    def docker_certificates(self) -> Path | None:
        """The folder of certificates where the engine is spoken to by TLS; None: it is not."""
        if not self.docker_tls_verify or self.docker_cert_path is None or self.docker_host.startswith("unix:"):
            return None
        return Path(self.docker_cert_path)


def _insert_port(host: str, by_tls: bool) -> str:
    """The address with the port that its scheme has by custom."""
    url = urlsplit(host)
    port = {"http": 80, "https": 443}.get(url.scheme, 2376 if by_tls else 2375)
    return url._replace(netloc=f"{url.netloc.rstrip(':')}:{port}").geturl()
