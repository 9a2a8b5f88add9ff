"""The worker's settings."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, ConfigDict, Field, ValidationInfo, field_validator

from shared.settings import URL, Backend, Seconds, Settings, standard_queue

Count = Annotated[int, Field(ge=0, le=10_000)]
By = Annotated[int, Field(ge=1, le=10_000)]
LabelKey = Annotated[str, Field(min_length=1, max_length=255)]


class WorkerSettings(Settings):
    """Everything that `python -m worker` reads from the environment."""

    model_config = ConfigDict(validate_default=True)

    sqs_dlq_url: Annotated[
        str, Field(pattern=URL, description="The dead-letter queue, a standard one."), AfterValidator(standard_queue)
    ]
    node_scaler_backend: Annotated[Backend, Field(description="`aws`, or `none` (or empty): no node scaling.")] = "aws"
    aws_manager_asg: Annotated[str | None, Field(description="The managers' Auto Scaling group.")] = None
    aws_worker_asg: Annotated[str | None, Field(description="The workers' Auto Scaling group.")] = None
    docker_tls_verify: Annotated[
        str | None,
        Field(
            description="Set to anything: a `tcp://` engine is spoken to by TLS and must show a certificate that "
            "`ca.pem` has signed, as with the `docker` command. Unset: no TLS."
        ),
    ] = None
    docker_host: Annotated[
        str,
        Field(
            pattern=r"^(unix:///|tcp://|https?://)\S+$",
            description="The Docker socket of a Swarm manager. `tcp://HOST` without a port means port 2375, with "
            "`DOCKER_TLS_VERIFY` 2376.",
        ),
    ] = "unix:///var/run/docker.sock"
    docker_cert_path: Annotated[
        str | None,
        Field(
            description="The folder of `ca.pem`, `cert.pem` and `key.pem`; counts only, and is then required, where "
            "`DOCKER_TLS_VERIFY` is set and `DOCKER_HOST` is no unix socket."
        ),
    ] = None
    worker_port: Annotated[
        int, Field(ge=0, le=65535, description="Port of `/healthz` and `/metrics`; 0 turns them off.")
    ] = 8081

    alert_node_min: Annotated[bool, Field(description="Notify when nodes are at their minimum already.")] = False
    alert_node_max: Annotated[bool, Field(description="Notify when nodes are at their maximum already.")] = True
    alert_scale_min: Annotated[bool, Field(description="Notify when replicas are at their minimum already.")] = False
    alert_scale_max: Annotated[bool, Field(description="Notify when replicas are at their maximum already.")] = True

    default_min_manager_nodes: Annotated[Count, Field(description="Fewest managers.")] = 3
    default_max_manager_nodes: Annotated[Count, Field(description="Most managers.")] = 7
    default_min_worker_nodes: Annotated[Count, Field(description="Fewest workers.")] = 0
    default_max_worker_nodes: Annotated[Count, Field(description="Most workers.")] = 5
    default_scale_manager_node_up_by: Annotated[By, Field(description="Managers added by one request.")] = 1
    default_scale_manager_node_down_by: Annotated[By, Field(description="Managers removed by one request.")] = 1
    default_scale_worker_node_up_by: Annotated[By, Field(description="Workers added by one request.")] = 1
    default_scale_worker_node_down_by: Annotated[By, Field(description="Workers removed by one request.")] = 1
    default_min_replicas: Annotated[Count, Field(description="Fewest replicas of a service.")] = 1
    default_max_replicas: Annotated[Count, Field(description="Most replicas of a service.")] = 5
    default_scale_service_up_by: Annotated[By, Field(description="Replicas added by one request.")] = 1
    default_scale_service_down_by: Annotated[By, Field(description="Replicas removed by one request.")] = 1

    min_scale_label: Annotated[LabelKey, Field(description="Label key: fewest replicas.")] = "com.df.scaleMin"
    max_scale_label: Annotated[LabelKey, Field(description="Label key: most replicas.")] = "com.df.scaleMax"
    scale_down_by_label: Annotated[LabelKey, Field(description="Label key: replicas removed by one request.")] = (
        "com.df.scaleDownBy"
    )
    scale_up_by_label: Annotated[LabelKey, Field(description="Label key: replicas added by one request.")] = (
        "com.df.scaleUpBy"
    )
    min_scale_manager_node_label: Annotated[LabelKey, Field(description="Label key: fewest managers.")] = (
        "com.df.scaleManagerNodeMin"
    )
    max_scale_manager_node_label: Annotated[LabelKey, Field(description="Label key: most managers.")] = (
        "com.df.scaleManagerNodeMax"
    )
    scale_manager_node_down_by_label: Annotated[LabelKey, Field(description="Label key: managers removed.")] = (
        "com.df.scaleManagerNodeDownBy"
    )
    scale_manager_node_up_by_label: Annotated[LabelKey, Field(description="Label key: managers added.")] = (
        "com.df.scaleManagerNodeUpBy"
    )
    min_scale_worker_node_label: Annotated[LabelKey, Field(description="Label key: fewest workers.")] = (
        "com.df.scaleWorkerNodeMin"
    )
    max_scale_worker_node_label: Annotated[LabelKey, Field(description="Label key: most workers.")] = (
        "com.df.scaleWorkerNodeMax"
    )
    scale_worker_node_down_by_label: Annotated[LabelKey, Field(description="Label key: workers removed.")] = (
        "com.df.scaleWorkerNodeDownBy"
    )
    scale_worker_node_up_by_label: Annotated[LabelKey, Field(description="Label key: workers added.")] = (
        "com.df.scaleWorkerNodeUpBy"
    )

    reschedule_filter_label: Annotated[
        LabelKey, Field(pattern=r"^[^=\s]", description="Which services are rescheduled.")
    ] = "com.df.reschedule=true"
    reschedule_env_key: Annotated[
        str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Their environment variable that is set.")
    ] = "RESCHEDULE_DATE"
    reschedule_timeout: Annotated[
        Seconds, Field(description="Seconds: longest wait for nodes, and for one service's update.")
    ] = timedelta(seconds=1000)
    reschedule_ticker_interval: Annotated[
        Seconds, Field(description="Seconds between the progress reports of a waiting request.")
    ] = timedelta(seconds=60)
    drain_timeout: Annotated[Seconds, Field(description="Seconds: longest wait for tasks to leave a node.")] = (
        timedelta(seconds=300)
    )
    lifecycle_hooks: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_/-]+(,[A-Za-z0-9_/-]+)*$",
            description="Names of the lifecycle hooks that the worker completes, separated by commas; others are left "
            "alone.",
        ),
    ] = "scaler-launch,scaler-terminate"
    launch_hook_result: Annotated[
        Literal["ABANDON", "CONTINUE"],
        Field(
            description="What becomes of an instance that a launch hook holds and that does not join in time. "
            "`ABANDON`: it ends, and AWS launches another."
        ),
    ] = "ABANDON"
    rebalance_action: Annotated[
        Literal["none", "drain"],
        Field(
            description="What is done where EC2 recommends to replace a spot instance. `drain`: its node is drained, "
            "if its group replaces such instances (capacity rebalance); `none`: nothing."
        ),
    ] = "none"
    scheduled_change_action: Annotated[
        Literal["notify", "replace"],
        Field(
            description="What is done where AWS Health announces a change of a machine. `notify`: people are told; "
            "`replace`: its node is replaced, too."
        ),
    ] = "notify"
    reschedule_on_join: Annotated[
        bool, Field(description="Reschedule labelled services when a node joins that no request asked for.")
    ] = True
    dedup_window: Annotated[
        Seconds, Field(description="Seconds in which the same Alertmanager delivery counts once.")
    ] = timedelta(seconds=300)
    request_max_age: Annotated[Seconds, Field(description="Seconds after which a request is stale.")] = timedelta(
        seconds=1800
    )
    scale_up_cooldown: Annotated[
        Seconds, Field(description="Seconds without a further up after one ended, per node type.")
    ] = timedelta(0)
    scale_down_cooldown: Annotated[
        Seconds, Field(description="Seconds without a further down after one ended, per node type.")
    ] = timedelta(0)
    lease_seconds: Annotated[
        Seconds, Field(description="Seconds, 3 or more: how soon another worker takes over from one that died.")
    ] = timedelta(seconds=15)

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
