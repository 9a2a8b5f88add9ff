"""The process: what it writes and when, what it says of trouble, how it starts, stops, and how much it needs."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rules.decision import decide
from rules.engine import Engine
from rules.rendering import rendered
from shared.errors import Unavailable
from tests.e2e.rules.conftest import Swarm
from tests.e2e.rules.process import Rules, started
from tests.unit.rules.test_decision import alert, good_and_broken
from tests.waiting import until

START_SECONDS, MIB, LOOK_SECONDS, SERVICES = 1.0, 60, 1.0, 1000
MEM = alert(1, "mem", "@service_mem_limit:0.8")


def names(rules: Rules) -> list[str]:
    return [rule["alert"] for group in rules.groups().values() for rule in group]


def test_a_label_becomes_a_rule_and_a_change_changes_it(swarm: Swarm, tmp_path: Path) -> None:
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: rules.says("rules_written"), "the first file")
        assert rules.groups() == {}
        swarm.create("web", MEM)
        until(lambda: names(rules) == ["web_mem"], "the rule")
        swarm.update("web", Labels={**MEM, **alert(9, "gone", "absent(up)")})
        until(lambda: names(rules) == ["web_mem", "web_gone"], "the second rule")
        assert rules.metric("scaler_rules") == 2
        swarm.update("web", Mode={"Replicated": {"Replicas": 0}})
        until(lambda: names(rules) == [], "the end of its rules")
        swarm.update("web", Mode={"Replicated": {"Replicas": 2}}, Labels={**MEM, "com.df.alertPersistent.1": "true"})
        until(lambda: names(rules) == ["web_mem"], "the rule again")
        swarm.update(
            "web", Mode={"Replicated": {"Replicas": 0}}, Labels={**MEM, "com.df.alertPersistent.1": "true", "x": "y"}
        )
        swarm.create("other", MEM)
        until(lambda: names(rules) == ["other_mem", "web_mem"], "a rule of another, beside the persistent one")
        swarm.remove("web")
        until(lambda: names(rules) == ["other_mem"], "the end of the removed one's")


def test_a_global_services_replicas_are_what_the_engine_says(swarm: Swarm, tmp_path: Path) -> None:
    swarm.create("agent", alert(1, "tasks", "@replicas_less_than"), replicas=None)
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: "service agent" in rules.groups(), "the rule")
        assert "< 1 unless" in rules.groups()["service agent"][0]["expr"]


def test_a_broken_label_is_named_in_log_metric_and_alert_until_it_is_mended(swarm: Swarm, tmp_path: Path) -> None:
    swarm.create("good", MEM)
    swarm.create("web", alert(1, "load", "up =="))
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: names(rules) == ["good_mem", "ScalerRuleInvalid"], "the alert")
        [told] = rules.groups()["labels"]
        assert (told["labels"]["service"], told["labels"]["alert"]) == ("web", "load")
        assert "alertIf: not PromQL" in told["annotations"]["summary"]
        [line] = rules.says("rule_left_out")
        assert (line["service"], line["alert"], line["level"]) == ("web", "load", "warning")
        assert rules.metric('scaler_rules_invalid{alert="load",service="web"}') == 1
        swarm.update("web", Labels=alert(1, "load", "up == 0"))
        until(lambda: names(rules) == ["good_mem", "web_load"], "the mended rule")
        assert "scaler_rules_invalid{" not in rules.page("/metrics")[1]
        assert [line["alert"] for line in rules.says("rule_mended")] == ["load"]


def test_fifty_good_ones_work_beside_every_kind_of_broken_label(swarm: Swarm, tmp_path: Path) -> None:
    services = good_and_broken()
    for each in services:
        swarm.create(each.name, each.labels, replicas=each.replicas)
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: f"service {services[-1].name}" in rules.groups(), "all rules")
        assert rules.file.read_text() == rendered(decide(services))


def test_own_shortcuts_come_from_files_and_a_broken_file_costs_itself(swarm: Swarm, tmp_path: Path) -> None:
    (tmp_path / "alertif-ours").write_text(
        '"@queue_longer":\n'
        '  expanded: queue_length{service="{{ .Alert.ServiceName }}"} > {{ index .Values 0 }} * {{ .Alert.Replicas }}\n'
        '  annotations: { summary: "{{ .Alert.ServiceName }} has {{ $value }}, over {{ index .Values 0 }} a task" }\n'
        '  labels: { receiver: team, urgent: true, service: "{{ .Alert.ServiceName }}" }\n'
        '"queue": { expanded: up }\n'
        '"@nothing": { labels: { a: b } }\n'
    )
    (tmp_path / "alertif-broken").write_text('"@x: [')
    swarm.create(
        "web", {**alert(1, "queue", "@queue_longer:10"), **MEM, **alert(2, "few", "@queue_longer")}, replicas=3
    )
    swarm.update("web", Labels={**alert(1, "queue", "@queue_longer:10"), **alert(2, "few", "@queue_longer")})
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: "service web" in rules.groups(), "the rule")
        [rule] = rules.groups()["service web"]
        assert rule["expr"] == 'queue_length{service="web"} > 10 * 3'
        assert rule["labels"] == {"receiver": "team", "service": "web", "urgent": "true"}
        assert rule["annotations"] == {"summary": "web has {{ $value }}, over 10 a task"}
        told = {(each["labels"]["service"], each["labels"]["alert"]) for each in rules.groups()["labels"]}
        assert told == {
            ("", "alertif-broken"),
            ("", "alertif-ours: queue"),
            ("", "alertif-ours: @nothing"),
            ("web", "few"),
        }


def test_while_the_socket_is_away_the_file_stays_and_it_says_so(swarm: Swarm, tmp_path: Path) -> None:
    swarm.create("web", MEM)
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: names(rules) == ["web_mem"], "the rule")
        read = rules.metric("scaler_rules_read_timestamp_seconds")
        before = rules.file.stat()
        swarm.away()
        until(lambda: rules.says("events_unavailable"), "a word about events")
        until(lambda: rules.metric('scaler_rules_failures_total{what="read"}') > 0 or _poke(rules), "a failure", 90)
        assert rules.file.stat() == before
        assert rules.page("/healthz")[0] == 200
        assert "stays as it is" in str(rules.says("rules_unchanged"))
        swarm.serve()
        swarm.remove("web")
        until(lambda: names(rules) == [], "the end of the rules")
        assert rules.metric("scaler_rules_read_timestamp_seconds") > read


def _poke(rules: Rules) -> bool:
    return rules.popen.poll() is not None


def test_it_starts_while_the_socket_is_away_and_leaves_the_last_file(swarm: Swarm, tmp_path: Path) -> None:
    swarm.away()
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "rules.yml").write_text("groups: []\n")
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: rules.says("rules_unchanged"), "a word")
        assert rules.file.read_text() == "groups: []\n"
        swarm.create("web", MEM)
        swarm.serve()
        until(lambda: names(rules) == ["web_mem"], "the rule")


def test_a_file_that_cannot_be_written_is_said_and_written_later(swarm: Swarm, tmp_path: Path) -> None:
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: rules.says("rules_written"), "the first file")
        in_the_way = rules.file.with_name("rules.yml.new")
        in_the_way.mkdir()
        swarm.create("web", MEM)
        until(lambda: rules.metric('scaler_rules_failures_total{what="write"}') > 0, "a failure")
        assert rules.groups() == {}
        in_the_way.rmdir()
        until(lambda: names(rules) == ["web_mem"], "the rule")


def test_what_does_not_change_is_not_written(swarm: Swarm, tmp_path: Path) -> None:
    swarm.create("web", MEM)
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: names(rules) == ["web_mem"], "the rule")
        before, read = rules.file.stat(), rules.metric("scaler_rules_read_timestamp_seconds")
        swarm.update("web", TaskTemplate={"ContainerSpec": {"Image": "y"}})
        until(lambda: rules.metric("scaler_rules_read_timestamp_seconds") > read, "another look")
        assert rules.file.stat() == before
        assert before.st_mode & 0o777 == 0o644


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_is_exit_0_at_once_and_the_file_stays(swarm: Swarm, tmp_path: Path, number: signal.Signals) -> None:
    swarm.create("web", MEM)
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: names(rules) == ["web_mem"], "the rule")
        rules.popen.send_signal(number)
        assert rules.popen.wait(10) == 0
        assert rules.says("rules_stopped")
        assert names(rules) == ["web_mem"]


def test_pages(swarm: Swarm, tmp_path: Path) -> None:
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: rules.says("rules_written"), "the first file")
        assert rules.page("/healthz") == (200, '{"status": "OK", "message": "alive"}')
        assert rules.page("/")[0] == 404


def test_port_0_listens_nowhere(swarm: Swarm, tmp_path: Path) -> None:
    with started(tmp_path, swarm.docker_host, RULES_PORT="0") as rules:
        until(lambda: rules.says("rules_written"), "the first file")
        kinds = subprocess.run(["ls", "-l", f"/proc/{rules.popen.pid}/fd"], capture_output=True, text=True, check=True)
        assert kinds.stdout.count("socket:") == 1  # of the events


def _wrong(environ: dict[str, str]) -> list[str]:
    command = [sys.executable, "-m", "rules"]
    done = subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environ}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    return done.stderr.splitlines()


def test_bad_configuration_is_exit_2_with_a_line_for_each_problem(tmp_path: Path) -> None:
    wrong = {
        "DOCKER_HOST": "nonsense",
        "RULES_FILE": "rules.yml",
        "RULES_PORT": "99999",
        "ALERTIF_FOLDER": "/nowhere",
        "LOG_LEVEL": "loud",
        "LOG_FORMAT": "xml",
    }
    assert sorted(line.partition(":")[0] for line in _wrong(wrong)) == sorted(wrong)
    assert _wrong({"DOCKER_HOST": "tcp://engine:port"})[0].startswith("DOCKER_HOST: must be like unix:///")
    good = {"ALERTIF_FOLDER": str(tmp_path), "RULES_PORT": "0"}
    [line] = _wrong({**good, "RULES_FILE": "/nowhere/rules.yml"})
    assert line == "RULES_FILE: cannot write into /nowhere (No such file or directory)"
    tls = {"DOCKER_TLS_VERIFY": "1", "DOCKER_HOST": "tcp://engine:2376", "RULES_FILE": str(tmp_path / "rules.yml")}
    assert _wrong({**good, **tls})[0].startswith("DOCKER_TLS_VERIFY: not supported")
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port = str(taken.getsockname()[1])
        [line] = _wrong({**good, "RULES_FILE": str(tmp_path / "rules.yml"), "RULES_PORT": port})
    assert line == f"RULES_PORT: cannot listen on {port} (Address already in use)"


@pytest.mark.parametrize(
    ("argument", "code", "said"), [("--help", 0, "RULES_FILE"), ("--version", 0, "scaler-rules"), ("x", 2, "")]
)
def test_it_says_what_it_is_and_takes_no_other_argument(argument: str, code: int, said: str) -> None:
    command = [sys.executable, "-m", "rules", argument]
    done = subprocess.run(command, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert said in done.stdout


def test_an_engine_that_says_no_or_nonsense_is_unavailable(swarm: Swarm) -> None:
    assert Engine(swarm.docker_host).services() == []
    swarm.away()
    with pytest.raises(Unavailable, match="No such file or directory"):
        Engine(swarm.docker_host).services()
    with pytest.raises(Unavailable, match="refused"):
        Engine("tcp://127.0.0.1:1").services()


def test_a_thousand_services_with_three_alerts_each(
    swarm: Swarm, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """In under a second of work; the process keeps under 60 MiB with them, and begins within a second."""
    labels = {
        **alert(1, "above", "@node_mem_limit_total_above:0.9", For="30s", Labels="severity=high"),
        **alert(2, "mem", "@service_mem_limit:0.8", Annotations="summary=it is {{ $value | humanize }}"),
        **alert(3, "few", "@replicas_less_than"),
    }
    for number in range(SERVICES):
        swarm.create(f"stack_service-{number}", labels)
    services = Engine(swarm.docker_host).services()
    began = time.process_time()
    decision = decide(services)
    text = rendered(decision)
    taken = time.process_time() - began
    assert taken < LOOK_SECONDS, taken
    assert (len(decision.rules), text.count("expr")) == (3 * SERVICES, 3 * SERVICES)
    with started(tmp_path, swarm.docker_host) as rules:
        until(lambda: rules.says("rules_written"), "the file", 60)
        read = rules.metric("scaler_rules_read_timestamp_seconds")
        swarm.update("stack_service-7", Labels={})
        until(lambda: rules.metric("scaler_rules") == 3 * SERVICES - 3, "the change", 60)
        assert rules.metric("scaler_rules_read_timestamp_seconds") > read
        resident = rules.resident_mib()
        figures = f"{taken:.2f} s, {resident:.1f} MiB resident"
        record_property(f"rules: {SERVICES} services with three alerts each", figures)
        assert resident < MIB


def test_it_is_ready_within_a_second(
    swarm: Swarm, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Of a processor's time, which is what a machine without other work needs. The best of some."""
    taken: list[tuple[float, float]] = []
    while len(taken) < 8 and min(taken, default=(START_SECONDS, 0))[0] >= START_SECONDS:
        with started(tmp_path, swarm.docker_host) as rules:
            until(rules.file.exists, "the file")
            taken.append((rules.processor_seconds(), time.monotonic() - rules.began))
            rules.file.unlink()
    shown = ", ".join(f"{work:.2f} ({wall:.2f} by the clock)" for work, wall in taken)
    record_property("rules: seconds from start to the file", shown)
    assert min(taken)[0] < START_SECONDS
