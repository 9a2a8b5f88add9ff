"""Every variable of the environment has a test in which it matters: this is where to find it. Each may be in a file."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from ingest.settings import IngestSettings
from shared.settings import BadConfiguration, Settings, read
from tests.e2e.test_bad_configuration import GOOD
from worker.settings import WorkerSettings

_WRONG: Final = "test_bad_configuration.py"
_CLIENTS: Final = "test_docker_scaler_clients.py"
_SETTINGS: Final = "test_settings.py"
_NODES: Final = f"{_SETTINGS}::test_default_bounds_and_steps_of_nodes"
_REPLICAS: Final = f"{_SETTINGS}::test_default_bounds_and_steps_of_replicas"
_NODE_KEYS: Final = f"{_SETTINGS}::test_label_keys_of_nodes_are_those_of_the_environment"
_REPLICA_KEYS: Final = f"{_SETTINGS}::test_label_keys_of_replicas_are_those_of_the_environment"
_FILES: Final = f"{_SETTINGS}::test_values_from_files_count_as_if_given_directly"
_MANAGERS: Final = f"{_SETTINGS}::test_default_minimum_and_step_down_of_managers"
_TICKS: Final = f"{_SETTINGS}::test_the_wait_ticks_and_times_out_and_the_next_scales_meet_their_cool_downs"
_LOG: Final = f"{_SETTINGS}::test_the_log_is_text_and_says_more_where_it_shall"
_GROUP: Final = f"{_SETTINGS}::test_the_group_of_each_node_type_is_the_one_that_is_named"
_POISON: Final = (
    "test_poison.py::test_poison_goes_to_the_dead_letter_queue_with_its_reason_and_the_next_good_message_is"
)
_TAKEOVER: Final = (
    "test_takeover.py::test_whoever_takes_over_from_a_killed_worker_does_so_in_time_and_finishes_its_request_"
    "without_a_second_change"
)
_BOUNDS: Final = f"{_CLIENTS}::test_up_and_down_by_label_and_by_query_past_and_at_the_bounds"
_AT_BOUNDS: Final = f"{_CLIENTS}::test_nodes_at_the_minimum_and_at_the_maximum"
_IDLE: Final = "test_idle.py::test_an_idle_active_worker_makes_at_most_20_aws_calls_a_minute_and_does_not_poll_docker"
_WEBHOOK: Final = "test_real_alertmanager.py::test_a_webhook_with_the_token_scales_and_a_resolved_one_does_not"
_HOOKS: Final = "behaviour/test_node_leaving.py::test_somebody_elses_hook_and_somebody_elses_group_are_left_alone"

VARIABLES: Final[Mapping[str, str]] = {
    "SQS_QUEUE_URL": "test_nodes.py::test_a_message_in_the_queue_does_the_same",
    "SQS_DLQ_URL": f"{_POISON}_handled",
    "DYNAMODB_TABLE": f"{_SETTINGS}::test_a_table_that_is_not_there_keeps_a_worker_from_being_active",
    "SCALER_CLUSTER": f"{_SETTINGS}::test_two_clusters_share_a_table_and_see_nothing_of_each_other",
    "AWS_DEFAULT_REGION": f"{_SETTINGS}::test_requests_are_signed_for_the_region",
    "AWS_ENV_FILE": f"{_SETTINGS}::test_credentials_come_from_the_file_of_exports",
    "NODE_SCALER_BACKEND": f"{_SETTINGS}::test_without_a_backend_nodes_are_not_scaled_but_services_are",
    "AWS_MANAGER_ASG": _GROUP,
    "AWS_WORKER_ASG": _GROUP,
    "DOCKER_HOST": _IDLE,
    "DOCKER_TLS_VERIFY": f"{_WRONG}::test_an_address_without_a_port_is_settled_at_start",
    "DOCKER_CERT_PATH": f"{_WRONG}::test_certificates_that_are_missing_are_exit_2",
    "INGEST_HOST": f"{_SETTINGS}::test_ingest_listens_where_it_is_told",
    "INGEST_PORT": f"{_SETTINGS}::test_ingest_listens_where_it_is_told",
    "SERVER_PREFIX": _FILES,
    "WORKER_PORT": f"{_SETTINGS}::test_a_worker_whose_port_is_0_listens_nowhere",
    "WEBHOOK_TOKEN": _WEBHOOK,
    "DEFAULT_WAIT": _BOUNDS,
    "ALERTMANAGER_ADDRESS": "test_real_alertmanager.py::test_a_bad_request_is_told_by_ingest_itself",
    "ALERT_TIMEOUT": f"{_SETTINGS}::test_an_alert_lasts_as_long_as_it_is_told_to",
    "ALERT_NODE_MIN": _AT_BOUNDS,
    "ALERT_NODE_MAX": f"{_SETTINGS}::test_nothing_is_said_of_nodes_at_their_maximum_where_nobody_wants_it",
    "ALERT_SCALE_MIN": _BOUNDS,
    "ALERT_SCALE_MAX": _REPLICA_KEYS,
    "DEFAULT_MIN_MANAGER_NODES": _MANAGERS,
    "DEFAULT_MAX_MANAGER_NODES": _NODES,
    "DEFAULT_MIN_WORKER_NODES": _NODES,
    "DEFAULT_MAX_WORKER_NODES": _NODES,
    "DEFAULT_SCALE_MANAGER_NODE_UP_BY": _NODES,
    "DEFAULT_SCALE_MANAGER_NODE_DOWN_BY": _MANAGERS,
    "DEFAULT_SCALE_WORKER_NODE_UP_BY": _NODES,
    "DEFAULT_SCALE_WORKER_NODE_DOWN_BY": _NODES,
    "DEFAULT_MIN_REPLICAS": _REPLICAS,
    "DEFAULT_MAX_REPLICAS": _REPLICAS,
    "DEFAULT_SCALE_SERVICE_UP_BY": _REPLICAS,
    "DEFAULT_SCALE_SERVICE_DOWN_BY": _REPLICAS,
    "MIN_SCALE_LABEL": _REPLICA_KEYS,
    "MAX_SCALE_LABEL": _REPLICA_KEYS,
    "SCALE_DOWN_BY_LABEL": _REPLICA_KEYS,
    "SCALE_UP_BY_LABEL": _REPLICA_KEYS,
    "MIN_SCALE_MANAGER_NODE_LABEL": _NODE_KEYS,
    "MAX_SCALE_MANAGER_NODE_LABEL": _NODE_KEYS,
    "SCALE_MANAGER_NODE_DOWN_BY_LABEL": _NODE_KEYS,
    "SCALE_MANAGER_NODE_UP_BY_LABEL": _NODE_KEYS,
    "MIN_SCALE_WORKER_NODE_LABEL": _NODE_KEYS,
    "MAX_SCALE_WORKER_NODE_LABEL": _NODE_KEYS,
    "SCALE_WORKER_NODE_DOWN_BY_LABEL": _NODE_KEYS,
    "SCALE_WORKER_NODE_UP_BY_LABEL": _NODE_KEYS,
    "RESCHEDULE_FILTER_LABEL": f"{_SETTINGS}::test_which_services_are_rescheduled_and_by_which_variable",
    "RESCHEDULE_ENV_KEY": f"{_SETTINGS}::test_which_services_are_rescheduled_and_by_which_variable",
    "RESCHEDULE_TIMEOUT": f"{_SETTINGS}::test_an_update_that_takes_too_long_fails_its_rescheduling",
    "RESCHEDULE_TICKER_INTERVAL": _TICKS,
    "DRAIN_TIMEOUT": f"{_SETTINGS}::test_a_drain_that_takes_too_long_is_undone_and_names_the_tasks",
    "DEDUP_WINDOW": f"{_SETTINGS}::test_the_same_delivery_counts_once_within_the_window",
    "REQUEST_MAX_AGE": f"{_SETTINGS}::test_a_request_that_is_older_than_allowed_is_skipped_as_stale",
    "SCALE_UP_COOLDOWN": _TICKS,
    "SCALE_DOWN_COOLDOWN": _TICKS,
    "LEASE_SECONDS": _TAKEOVER,
    "LIFECYCLE_HOOKS": _HOOKS,
    "LAUNCH_HOOK_RESULT": "behaviour/test_node_joining.py::test_the_setting_keeps_what_never_joins",
    "REBALANCE_ACTION": "test_events.py::test_a_node_is_drained_where_ec2_recommends_to_replace_its_machine",
    "SCHEDULED_CHANGE_ACTION": "test_events.py::test_a_node_whose_machine_aws_retires_is_replaced",
    "RESCHEDULE_ON_JOIN": "behaviour/test_arrivals.py::test_it_can_be_turned_off",
    "LOG_LEVEL": _LOG,
    "LOG_FORMAT": _LOG,
}


def _settings() -> set[str]:
    return {name.upper() for cls in (IngestSettings, WorkerSettings) for name in cls.model_fields}


def _tests() -> Iterator[str]:
    """Those of this folder, and those of `tests/behaviour` with the folder's name before theirs."""
    here = Path(__file__).parent
    for folder, prefix in ((here, ""), (here.parent / "behaviour", "behaviour/")):
        for path in folder.glob("test_*.py"):
            for node in ast.parse(path.read_text()).body:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                    yield f"{prefix}{path.name}::{node.name}"


def test_every_variable_is_in_the_table_and_nothing_else_is() -> None:
    assert VARIABLES.keys() == _settings()


@pytest.mark.parametrize("name", VARIABLES)
def test_the_test_that_the_table_names_is_there(name: str) -> None:
    assert VARIABLES[name] in set(_tests())


_CLASSES: Final[tuple[type[Settings], ...]] = (IngestSettings, WorkerSettings)
_OTHERS: Final = (
    "8",
    "2",
    "true",
    "false",
    "/dev/null",
    "other",
    "http://other:1",
    "none",
    "text",
    "debug",
    "CONTINUE",
    "drain",
    "replace",
)
"""One of them is a good value of any variable, and not what it is otherwise."""


def _another(cls: type[Settings], name: str) -> str:
    usual = getattr(read(cls, dict(GOOD)), name.lower())
    for value in _OTHERS:
        with suppress(BadConfiguration):
            if getattr(read(cls, {**GOOD, name: value}), name.lower()) != usual:
                return value
    raise AssertionError(f"no value for {name}")


@pytest.mark.parametrize(("cls", "name"), [(cls, name.upper()) for cls in _CLASSES for name in cls.model_fields])
def test_every_variable_may_be_given_as_a_file(cls: type[Settings], name: str, tmp_path: Path) -> None:
    value, path = _another(cls, name), tmp_path / "value"
    path.write_text(f"{value}\n")
    rest = {key: text for key, text in GOOD.items() if key != name}
    assert read(cls, {**rest, f"{name}_FILE": str(path)}) == read(cls, {**GOOD, name: value})
    with pytest.raises(BadConfiguration, match=f"^{name}: set both directly and as {name}_FILE; keep one$"):
        read(cls, {**GOOD, name: value, f"{name}_FILE": str(path)})
