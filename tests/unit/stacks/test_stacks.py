"""stacks/: they parse, what they need is named, images are pinned, rules fire when they should and only then."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from infra.stack_files import embedded
from rules import scraping
from rules.decision import decide
from rules.model import Service
from rules.rendering import INVALID, RUNBOOK
from rules.settings import RulesSettings
from worker.settings import WorkerSettings

STACKS: Final = Path(__file__).parents[3] / "stacks"
NAMES: Final = ("proxy", "scaler", "monitor", "exporters")
GIVEN: Final = {
    "DOMAIN": "cluster.example",
    "RUNBOOKS": "https://docs.example",
    "ACME_EMAIL": "me@cluster.example",
    "REGISTRY": "registry.example/me",
    "AWS_DEFAULT_REGION": "us-east-1",
    "SQS_QUEUE_URL": "https://sqs.example/1/inbox",
    "SQS_DLQ_URL": "https://sqs.example/1/dead",
    "DYNAMODB_TABLE": "docker-scaler-default",
    "AWS_MANAGER_ASG": "devops22-ManagerAsg-1",
    "AWS_WORKER_ASG": "devops22-NodeAsg-1",
}
MIXIN: Final = Path(__file__).parents[3] / "monitoring"
DOCS: Final = Path(__file__).parents[3] / "docs"
MOUNTED: Final = "/mnt/efs"
BOOTSTRAP: Final = Path(__file__).parents[3] / "infra/cloudformation/bootstrap/swarm-node.sh"
CALL_SECONDS: Final = 5  # the worker's own limit, with the default lease


def needs(command: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(shutil.which(command) is None, reason=f"no {command} on this machine")


def docker_has_stack_config() -> bool:
    """Not by the exit code: a command line that does not have it shows the help of `docker stack`, with 0."""
    if shutil.which("docker") is None:
        return False
    shown = subprocess.run(["docker", "stack", "config", "--help"], capture_output=True, text=True, check=False)
    return "docker stack config" in shown.stdout


def stack(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load((STACKS / f"{name}.yml").read_text())
    return parsed


def services() -> list[tuple[str, str, dict[str, Any]]]:
    return [(name, key, service) for name in NAMES for key, service in stack(name)["services"].items()]


def run(*command: str | Path, cwd: Path | None = None, environ: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not docker_has_stack_config(), reason="no `docker stack config` on this machine")
@pytest.mark.parametrize(
    "names",
    [
        *((name,) for name in NAMES),
        ("scaler", "scaler-keys"),
        ("proxy", "proxy-letsencrypt"),
        ("monitor", "monitor-efs"),
    ],
)
def test_docker_accepts_the_stack(names: tuple[str, ...]) -> None:
    files = [word for name in names for word in ("-c", str(STACKS / f"{name}.yml"))]
    parsed = yaml.safe_load(run("docker", "stack", "config", *files, environ=GIVEN))
    assert parsed["services"]


def test_every_image_is_pinned_to_a_version() -> None:
    for name, key, service in services():
        tag = service["image"].removesuffix("}").rpartition(":")[2].removeprefix("-")
        assert re.match(r"v?[0-9]+\.[0-9]+\.[0-9]+", tag), (name, key, service["image"])


def test_every_service_has_limits_a_reservation_and_a_read_only_root() -> None:
    for name, key, service in services():
        resources = service["deploy"]["resources"]
        assert {"cpus", "memory"} <= resources["limits"].keys(), (name, key)
        assert "memory" in resources["reservations"], (name, key)
        assert service["read_only"] is True, (name, key)


def test_no_service_says_what_docker_stack_deploy_leaves_out() -> None:
    """`tmpfs` is for Compose: deployed to a Swarm there is none, and a read-only root has no place to write."""
    assert [(name, key) for name, key, service in services() if "tmpfs" in service] == []


def test_what_a_service_names_is_declared() -> None:
    for name in NAMES:
        parsed = stack(name)
        for key, service in parsed["services"].items():
            for kind in ("networks", "secrets"):
                assert set(service.get(kind, [])) <= (parsed.get(kind) or {}).keys(), (name, key, kind)
            for volume in service.get("volumes", []):
                assert volume["type"] != "volume" or volume["source"] in parsed["volumes"], (name, key)


def written(service: Mapping[str, Any]) -> list[str]:
    """The volumes of its node that a service writes."""
    volumes = service.get("volumes", [])
    return [each["source"] for each in volumes if each["type"] == "volume" and not each.get("read_only")]


def test_only_alertmanagers_volume_can_be_on_another_node_than_its_task() -> None:
    """A global service has a task, and so a volume, on each of its nodes, and leaves none behind."""
    moving = {(name, key) for name, key, each in services() if written(each) and each["deploy"].get("mode") != "global"}
    assert moving == {("monitor", "alertmanager")}


@pytest.mark.skipif(not docker_has_stack_config(), reason="no `docker stack config` on this machine")
def test_with_efs_alertmanagers_files_are_on_every_manager_and_prometheuss_are_not_on_nfs() -> None:
    files = [word for name in ("monitor", "monitor-efs") for word in ("-c", str(STACKS / f"{name}.yml"))]
    parsed = yaml.safe_load(run("docker", "stack", "config", *files, environ=GIVEN))["services"]
    [kept] = [each for each in parsed["alertmanager"]["volumes"] if each["type"] != "tmpfs"]
    assert (kept["type"], kept["source"], kept["target"]) == ("bind", f"{MOUNTED}/alertmanager", "/alertmanager")
    assert "--storage.path=/alertmanager" in parsed["alertmanager"]["command"]
    assert MOUNTED not in str(parsed["prometheus"])
    assert f"{MOUNTED} efs" in BOOTSTRAP.read_text(), "swarm.yaml mounts it elsewhere"


def test_who_has_a_certificate_of_its_own_says_all_that_the_proxy_says_and_https() -> None:
    plain, own = (stack(name)["services"]["traefik"] for name in ("proxy", "proxy-letsencrypt"))
    assert set(plain["command"]) < set(own["command"])
    assert own["deploy"]["replicas"] == 1, "each of two would have a certificate of its own"


def test_routes_are_on_the_entry_points_that_the_proxy_has_by_default() -> None:
    """So that what is deployed once is reached with a certificate and without."""
    for name, key, service in services():
        labels = service["deploy"].get("labels", {})
        assert not [label for label in labels if label.endswith(".entrypoints")], (name, key)
    for name, entry_points in (("proxy", {"web"}), ("proxy-letsencrypt", {"web", "websecure"})):
        command = " ".join(stack(name)["services"]["traefik"]["command"])
        assert set(re.findall(r"--entrypoints\.(\w+)\.asDefault=true", command)) == entry_points


def test_credentials_are_waited_for_but_not_longer_than_a_call_may_take() -> None:
    for key in ("ingest", "worker"):
        service = stack("scaler")["services"][key]
        given = service["environment"]
        waited = int(given["AWS_METADATA_SERVICE_TIMEOUT"]) * int(given["AWS_METADATA_SERVICE_NUM_ATTEMPTS"])
        assert 1 < waited < CALL_SECONDS
        assert "metadata" in service["networks"]


def test_nobody_else_is_on_the_network_that_leads_to_the_managers_credentials() -> None:
    assert {key for _, key, service in services() if "metadata" in service.get("networks", [])} == {"ingest", "worker"}


HELD: Final = {
    ("proxy", "traefik", "LOGIN"): "traefik/login.yml",
    ("proxy", "docker", "CONFIGURATION"): "docker/read.cfg",
    ("scaler", "docker", "CONFIGURATION"): "docker/worker.cfg",
    ("monitor", "docker", "CONFIGURATION"): "docker/monitor.cfg",
    ("monitor", "prometheus", "CONFIGURATION"): "prometheus/prometheus.yml",
    ("monitor", "prometheus", "RULES"): "../monitoring/rules.yml",
    ("monitor", "alertmanager", "CONFIGURATION"): "alertmanager/alertmanager.yml",
}
"""The files that the stacks hold: stack, service, variable."""
WRITES: Final = re.compile(r'printf %s "\$(\w+)" > (/tmp/[\w.]+)')


@pytest.mark.skipif(not docker_has_stack_config(), reason="no `docker stack config` on this machine")
@pytest.mark.parametrize("name", NAMES)
def test_a_stack_is_deployed_without_a_checkout(name: str, tmp_path: Path) -> None:
    """Docker reads it alone in a folder, and hands each service its files as they are in the repository."""
    alone = Path(shutil.copy(STACKS / f"{name}.yml", tmp_path))
    read = yaml.safe_load(run("docker", "stack", "config", "-c", alone, environ=GIVEN, cwd=tmp_path))
    assert not [one for kind in ("configs", "secrets") for one in read.get(kind, {}).values() if "file" in one]
    for (stack_name, key, variable), path in HELD.items():
        if stack_name == name:
            source = re.sub(r"\$\{([A-Z]+)\}", lambda match: GIVEN[match[1]], (STACKS / path).read_text())
            assert read["services"][key]["environment"][variable].replace("$$", "$") == source


def test_a_release_has_the_stacks_with_its_own_images(tmp_path: Path) -> None:
    """By the very step of the workflow."""
    jobs = yaml.safe_load((STACKS.parent / ".github/workflows/release.yml").read_text())["jobs"]
    [step] = [one for one in jobs["release"]["steps"] if "REGISTRY" in one.get("env", {})]
    shutil.copytree(STACKS, tmp_path / "stacks")
    shutil.copy(STACKS.parent / "compose.yaml", tmp_path)
    run("bash", "-euc", step["run"], cwd=tmp_path, environ={"REGISTRY": "registry.example/team"})
    released = {path.name: path.read_text() for path in (tmp_path / "dist").iterdir()}
    assert {f"{name}.yml" for name in NAMES} | {"compose.yaml"} <= released.keys()
    images = [one for text in released.values() for one in re.findall(r"image: (.*docker-scaler-\w+)", text)]
    processes = ("ingest", "worker", "rules", "local")
    assert sorted(images) == sorted(f"registry.example/team/docker-scaler-{name}" for name in processes)
    assert not any("REGISTRY" in re.sub("#.*", "", text) for text in released.values())


def started(service: Mapping[str, Any], folder: Path) -> tuple[str, dict[str, str]]:
    """What a service's entry point executes at last, and the files that it has written before; `folder` is its /tmp."""
    words = [word.replace("$$", "$").replace("/tmp/", f"{folder}/") for word in service["entrypoint"]]
    given = {name: value.replace("$$", "$") for name, value in service["environment"].items()}
    words[2] = words[2].replace("exec ", "exec echo ")
    echoed = run(*words, *service["command"], environ=given)
    return echoed, {path.name: path.read_text() for path in folder.iterdir()}


def test_every_file_is_held_by_the_stack_that_uses_it_and_written_before_its_program_starts(tmp_path: Path) -> None:
    found = set()
    for name, key, service in services():
        if "entrypoint" not in service:
            continue
        folder = tmp_path / name / key
        folder.mkdir(parents=True)
        echoed, written = started(service, folder)
        held = WRITES.findall(service["entrypoint"][2].replace("$$", "$"))
        assert echoed.split()[0] in service["image"]
        assert {"type": "tmpfs", "target": "/tmp"} in service["volumes"]
        for variable, path in held:
            assert written[Path(path).name] == service["environment"][variable].replace("$$", "$")
            assert path in str(service["command"]) or path in (STACKS / "prometheus/prometheus.yml").read_text()
            found.add((name, key, variable))
    assert found == HELD.keys()


def test_the_stacks_hold_the_files_as_they_are() -> None:
    for path in STACKS.glob("*.yml"):
        assert path.read_text() == embedded(path), f"{path.name}: run `make templates`"


def test_only_the_filters_touch_dockers_socket() -> None:
    for name, key, service in services():
        sources = {volume.get("source") for volume in service.get("volumes", [])}
        if "/var/run/docker.sock" in sources:
            assert (key, service["image"].partition(":")[0]) == ("docker", "haproxy"), name


@pytest.mark.parametrize("name", ["scaler", "monitor", "proxy"])
def test_a_filter_is_on_every_node_where_somebody_uses_it(name: str) -> None:
    parsed = stack(name)["services"]
    assert parsed["docker"]["deploy"]["mode"] == "global"
    users = [one for key, one in parsed.items() if key != "docker" and "socket" in str(one.get("volumes"))]
    constraints = {str(one["deploy"]["placement"]["constraints"]) for one in (*users, parsed["docker"])}
    assert constraints == {"['node.role == manager']"}


FILTERS: Final = ("worker.cfg", "read.cfg", "monitor.cfg")


def admitted(config: str, method: str, path: str) -> bool:
    """Whether a filter lets a call through: its `deny unless`, read as HAProxy reads it."""
    text = (STACKS / "docker" / config).read_text()
    acls: dict[str, list[bool]] = {}
    for name, kind, values in re.findall(r"^ +acl (\w+) (method|path_reg) (.+)$", text, re.MULTILINE):
        matches = method in values.split() if kind == "method" else re.search(values, path) is not None
        acls.setdefault(name, []).append(matches)
    [terms] = re.findall(r"http-request deny unless (.+)$", text, re.MULTILINE)
    return any(all(any(acls[name]) for name in term.split()) for term in terms.split(" or "))


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/v1.44/{what}") for what in ("info", "version", "nodes", "services", "tasks", "events")),
        ("HEAD", "/_ping"),
        ("GET", "/v1.44/nodes/abc123"),
        ("GET", "/services/exporter_node-exporter-worker"),
        ("POST", "/v1.44/nodes/abc123/update"),
        ("POST", "/v1.44/services/abc123/update"),
        ("DELETE", "/v1.44/nodes/abc123"),
    ],
)
def test_the_worker_gets_through_with_what_it_asks(method: str, path: str) -> None:
    assert admitted("worker.cfg", method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", f"/v1.44/{what}") for what in ("containers/json", "secrets", "configs", "swarm", "images/json")),
        ("POST", "/v1.44/services/create"),
        ("POST", "/v1.44/containers/create"),
        ("POST", "/v1.44/swarm/leave"),
        ("POST", "/v1.44/nodes/abc/update/../../../services/create"),
        ("DELETE", "/v1.44/services/abc123"),
        ("PUT", "/v1.44/nodes/abc123"),
        ("GET", "/v1.44/services/abc/logs"),
        ("POST", "/v1.44/build"),
    ],
)
def test_nothing_else_gets_through_to_docker(method: str, path: str) -> None:
    assert not any(admitted(config, method, path) for config in FILTERS)


@pytest.mark.parametrize("what", ["nodes", "services", "tasks", "networks"])
def test_prometheus_and_rules_get_lists_of_what_they_may_know(what: str) -> None:
    assert admitted("monitor.cfg", "GET", f"/v1.44/{what}")
    assert admitted("monitor.cfg", "GET", f"/{what}")
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert not admitted("monitor.cfg", method, f"/v1.44/{what}")
    for path in (f"/v1.44/{what}/abc", f"/v1.44/{what}/create", f"/v1.44/{what}/abc/update", f"/v1.44/{what}/"):
        assert not admitted("monitor.cfg", "GET", path)


@pytest.mark.parametrize("path", ["info", "version", "secrets", "configs", "swarm", "containers/json", "system/df", ""])
def test_prometheus_and_rules_get_nothing_else(path: str) -> None:
    assert not admitted("monitor.cfg", "GET", f"/v1.44/{path}")
    assert admitted("monitor.cfg", "HEAD", "/_ping")
    assert admitted("monitor.cfg", "GET", "/events")


@pytest.mark.parametrize(("method", "path"), [("POST", "/v1.44/nodes/a/update"), ("DELETE", "/v1.44/nodes/a")])
def test_who_only_looks_changes_nothing(method: str, path: str) -> None:
    assert not admitted("read.cfg", method, path)
    assert admitted("read.cfg", "GET", "/v1.44/networks")


@needs("haproxy")
@pytest.mark.parametrize("config", FILTERS)
def test_haproxy_accepts_the_filters(config: str, tmp_path: Path) -> None:
    text = (STACKS / "docker" / config).read_text().replace("unix@/sock", f"unix@{tmp_path}")
    (tmp_path / config).write_text(text)
    run("haproxy", "-c", "-f", tmp_path / config)


# Prometheus


@needs("promtool")
def test_prometheus_accepts_its_configuration() -> None:
    run("promtool", "check", "config", "--syntax-only", STACKS / "prometheus" / "prometheus.yml")


def test_prometheus_reads_the_mixin_and_what_rules_writes_and_sees_by_itself_when_it_changes() -> None:
    prometheus = yaml.safe_load((STACKS / "prometheus" / "prometheus.yml").read_text())
    service = stack("monitor")["services"]["prometheus"]
    own, made = prometheus["rule_files"]
    assert f'"$$RULES" > {own} ' in service["entrypoint"][2]
    assert RulesSettings.model_fields["rules_file"].default.match(made)
    assert {"--enable-feature=auto-reload-config", "--config.auto-reload-interval=5s"} <= set(service["command"])
    users = {
        key: one["target"]
        for key, each in stack("monitor")["services"].items()
        for one in each.get("volumes", [])
        if one.get("source") == "services"
    }
    assert users == {"prometheus": "/etc/prometheus/services", "rules": "/etc/prometheus/services"}


def test_what_is_said_to_be_the_default_of_intervals_is_prometheuss() -> None:
    prometheus = yaml.safe_load((STACKS / "prometheus" / "prometheus.yml").read_text())
    assert prometheus["global"]["scrape_interval"] == scraping.DEFAULT_INTERVAL


def test_only_ingest_is_shown_the_token() -> None:
    configs = yaml.safe_load((STACKS / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert [one["job_name"] for one in configs if "authorization" in one] == ["ingest"]
    kept, dropped = (one["relabel_configs"][0] for one in configs[1:])
    assert (kept["action"], dropped["action"]) == ("keep", "drop")
    assert kept["regex"] == dropped["regex"] == "scaler_ingest"


def test_every_label_of_the_stacks_is_one_that_there_is_and_is_right() -> None:
    found = [Service(f"{NAMES_OF.get(name, name)}_{key}", labels(one), 1) for name, key, one in services()]
    decision = decide(found)
    assert decision.problems == ()
    assert {rule.name: (rule.lasting, rule.labels["scale"], rule.labels["type"]) for rule in decision.rules} == {
        "exporter_node_exporter_manager_node_mem_limit_total_above": ("30s", "no", "node"),
        "exporter_node_exporter_worker_node_mem_limit_total_above": ("30s", "up", "node"),
        "exporter_node_exporter_worker_node_mem_limit_total_below": ("30s", "down", "node"),
    }
    scraped = {each.name: each.labels["com.df.scrapePort"] for each in found if "com.df.scrapePort" in each.labels}
    assert scraped == {
        "scaler_ingest": "8080",
        "scaler_worker": "8081",
        "monitor_rules": "8082",
        "exporter_node-exporter-manager": "9100",
        "exporter_node-exporter-worker": "9100",
        "exporter_cadvisor": "8080",
    }


NAMES_OF: Final = {"exporters": "exporter"}
"""Of the stacks that are deployed under another name than their file's."""


def labels(service: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = service["deploy"].get("labels", {})
    return found


# The mixin


def mixin() -> list[dict[str, Any]]:
    groups = yaml.safe_load((MIXIN / "rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


@needs("promtool")
def test_each_rule_fires_when_it_should_and_only_then() -> None:
    run("promtool", "check", "rules", MIXIN / "rules.yml")
    run("promtool", "test", "rules", "rules_test.yml", cwd=MIXIN)


def test_each_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not() -> None:
    alerts = {rule["alert"] for rule in mixin()}
    cases = yaml.safe_load((MIXIN / "rules_test.yml").read_text())["tests"]
    tested = [(one["alertname"], bool(one["exp_alerts"])) for case in cases for one in case["alert_rule_test"]]
    assert {name for name, fires in tested if fires} == alerts
    assert {name for name, fires in tested if not fires} == alerts


def test_each_alert_says_how_urgent_it_is_and_has_a_section_that_is_there() -> None:
    sections = [line.removeprefix("### ") for line in (DOCS / "operations.md").read_text().splitlines()]
    runbooks = {rule["alert"]: rule["annotations"]["runbook_url"] for rule in mixin()} | {INVALID: RUNBOOK}
    for name, runbook in runbooks.items():
        assert name.startswith("Scaler")
        assert runbook == f"docs/operations.md#{name.lower()}"
        assert sections.count(name) == 1, name
    assert {rule["labels"]["severity"] for rule in mixin()} == {"critical", "warning"}
    assert not any({"scale", "type"} & rule["labels"].keys() for rule in mixin())


def test_a_request_is_too_old_after_the_longest_wait_and_before_those_behind_it_are_stale() -> None:
    settings = WorkerSettings.model_fields
    wait, stale = settings["reschedule_timeout"].default, settings["request_max_age"].default
    [rule] = [one for one in mixin() if one["alert"] == "ScalerOldestRequest"]
    age = float(rule["expr"].rpartition(" > ")[2])
    assert wait.total_seconds() < age < stale.total_seconds()


# Alertmanager


@pytest.fixture
def alertmanager(tmp_path: Path) -> Path:
    text = (STACKS / "alertmanager" / "alertmanager.yml").read_text()
    path = tmp_path / "alertmanager.yml"
    path.write_text(text.replace("${DOMAIN}", GIVEN["DOMAIN"]).replace("${RUNBOOKS}", GIVEN["RUNBOOKS"]))
    return path


@needs("amtool")
def test_alertmanager_accepts_its_configuration(alertmanager: Path) -> None:
    run("amtool", "check-config", alertmanager)


@needs("amtool")
@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (("alertname=web_mem", "scale=up", "type=node"), "scale-nodes"),
        (("alertname=web_mem", "scale=down", "type=node"), "scale-nodes"),
        (("alertname=web_mem", "scale=up", "type=node", "severity=critical"), "scale-nodes,slack-critical"),
        (("alertname=web_slow", "scale=up", "type=service"), "scale-service"),
        (("alertname=web_mem", "scale=no", "type=node"), "slack"),
        (("alertname=ScalerNoActiveWorker", "service=scaler_worker", "severity=critical"), "slack-critical"),
        (("alertname=ScalerRuleInvalid", "severity=warning", "scale=up", "type=node"), "slack"),
        (("alertname=scale_nodes", "service=aws", "status=success"), "slack-scaler"),
        (("alertname=reschedule_service", "service=reschedule", "status=error"), "slack-scaler"),
        (("alertname=scale_service", "service=web", "status=success"), "slack-scaler"),
    ],
)
def test_alerts_go_where_they_belong(alertmanager: Path, labels: tuple[str, ...], receiver: str) -> None:
    found = run("amtool", "config", "routes", "test", f"--config.file={alertmanager}", *labels)
    assert found.strip() == receiver


def test_the_webhook_is_ingests_own_and_carries_the_token() -> None:
    parsed = yaml.safe_load((STACKS / "alertmanager" / "alertmanager.yml").read_text())
    [hook] = next(one for one in parsed["receivers"] if one["name"] == "scale-nodes")["webhook_configs"]
    assert hook["url"] == "http://ingest:8080/v1/scale-nodes?by=1&type=worker"
    assert hook["http_config"]["authorization"]["credentials_file"] == "/run/secrets/webhook_token"
    assert "webhook_token" in stack("monitor")["services"]["alertmanager"]["secrets"]
