"""The settings of `rules`."""

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.settings import DockerHost, LogFormat, LogLevel

SECRETS = Path("/run/secrets")


class RulesSettings(BaseModel):
    """Everything that `python -m rules` reads from the environment."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    docker_host: DockerHost = "unix:///var/run/docker.sock"
    rules_file: Path = Field(
        Path("/etc/prometheus/services/rules.yml"),
        description="The rule file that Prometheus reads; written whole, and only where it changes.",
    )
    rules_port: int = Field(8082, ge=0, le=65535, description="Port of `/healthz` and `/metrics`; 0 turns them off.")
    alertif_folder: Path = Field(
        SECRETS, description="Where files `alertif-*` with shortcuts of your own are, if there are any."
    )
    log_level: LogLevel = "info"
    log_format: LogFormat = "json"

    @field_validator("docker_host")
    @classmethod
    def _an_address(cls, value: str) -> str:
        try:
            urlsplit(value).port  # noqa: B018 - it is read when it is asked for
        except ValueError as error:
            raise ValueError("must be like unix:///var/run/docker.sock or tcp://HOST:PORT") from error
        return value

    @field_validator("rules_file")
    @classmethod
    def _a_file(cls, value: Path) -> Path:
        if not value.is_absolute() or value.is_dir():
            raise ValueError("must be the absolute path of a file, like /etc/prometheus/services/rules.yml")
        return value

    @field_validator("alertif_folder")
    @classmethod
    def _a_folder(cls, value: Path) -> Path:
        if not value.is_dir():
            raise ValueError(f"there is no folder {value}")
        return value
