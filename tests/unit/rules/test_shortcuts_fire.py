"""Each shortcut on what node-exporter, cAdvisor and instrumented programs really expose, judged by `promtool`.

Of each: it fires, it does not; without data, with one node, while a target is down, at a reset of counters.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from rules.decision import decide
from rules.model import Service
from rules.rendering import rendered
from tests.unit.rules.promtool import needs_promtool
from tests.unit.rules.test_decision import alert

pytestmark = needs_promtool
Series = Mapping[str, str]
GIGABYTE: Final = 1024**3
LONG: Final = "x60"

# node-exporter


def node(name: str, available: int, total: int = 100, up: int = 1) -> dict[str, str]:
    """A node's memory in GiB. A target that is down has no samples but `up`."""
    labels = f'{{job="web",instance="{name}"}}'
    shown = {
        f"node_memory_MemAvailable_bytes{labels}": f"{available * GIGABYTE}{LONG}",
        f"node_memory_MemTotal_bytes{labels}": f"{total * GIGABYTE}{LONG}",
        f"node_memory_MemFree_bytes{labels}": f"1{LONG}",
    }
    return {f"up{labels}": f"{up}{LONG}", **(shown if up else {})}


def disk(name: str, mount: str, available: int, filesystem: str = "ext4") -> dict[str, str]:
    labels = f'{{job="web",instance="{name}",device="/dev/x",fstype="{filesystem}",mountpoint="{mount}"}}'
    return {
        f"node_filesystem_avail_bytes{labels}": f"{available}{LONG}",
        f"node_filesystem_free_bytes{labels}": f"{available + 5}{LONG}",
        f"node_filesystem_size_bytes{labels}": f"100{LONG}",
    }


# cAdvisor


def container(task: str, usage: int, limit: int = 100, working: int = 0, of: str = "web", on: str = "c1") -> Series:
    """A container of a task of a service, as cAdvisor shows it."""
    labels = (
        f'{{job="cadvisor",instance="{on}",id="/docker/{task}",image="i",name="{of}.1.{task}",'
        f'container_label_com_docker_swarm_service_name="{of}",container_label_com_docker_swarm_task_id="{task}"}}'
    )
    return {
        f"container_memory_usage_bytes{labels}": f"{usage}{LONG}",
        f"container_memory_working_set_bytes{labels}": f"{working}{LONG}",
        f"container_spec_memory_limit_bytes{labels}": f"{limit}{LONG}",
        f"container_start_time_seconds{labels}": f"1000{LONG}",
    }


def cadvisor(name: str, up: int = 1) -> Series:
    return {f'up{{job="cadvisor",instance="{name}"}}': f"{up}{LONG}"}


def of_container(task: str, on: str = "c1") -> dict[str, str]:
    return {
        "job": "cadvisor",
        "instance": on,
        "id": f"/docker/{task}",
        "image": "i",
        "name": f"web.1.{task}",
        "container_label_com_docker_swarm_service_name": "web",
        "container_label_com_docker_swarm_task_id": task,
    }


# A program with a histogram


def answers(within: str, of: str, bucket: str = "0.1", code: str = "200", instance: str = "a") -> Series:
    """Requests: those in the bucket, and all of them."""
    labels = f'job="web",instance="{instance}",code="{code}"'
    return {
        f'http_server_resp_time_bucket{{{labels},le="{bucket}"}}': within,
        f'http_server_resp_time_bucket{{{labels},le="+Inf"}}': of,
        f"http_server_resp_time_count{{{labels}}}": of,
    }


SLOW: Final = answers(f"0+1{LONG}", f"0+10{LONG}")
QUICK: Final = answers(f"0+10{LONG}", f"0+10{LONG}")
# Started again after half an hour: the counters begin anew, the shares are as before.
RESET_SLOW: Final = answers("0+1x30 0+1x30", "0+10x30 0+10x30")
RESET_QUICK: Final = answers("0+10x30 0+10x30", "0+10x30 0+10x30")


def merged(*series: Series) -> Series:
    return {name: values for each in series for name, values in each.items()}


ONE: Final[Sequence[dict[str, str]]] = [{}]
NONE: Final[Sequence[dict[str, str]]] = []
NODE_A: Final = [{"job": "web", "instance": "a"}]
Case = tuple[str, Series, Sequence[dict[str, str]]]

CASES: Final[Mapping[str, Sequence[Case]]] = {
    "@node_mem_limit_total_above:0.95": [
        ("both full", merged(node("a", 2), node("b", 4)), ONE),
        ("one full, one empty", merged(node("a", 2), node("b", 60)), NONE),
        ("a small full one beside a large empty one", merged(node("a", 0, 1), node("b", 90)), NONE),
        ("no data", {}, NONE),
        ("one node, full", node("a", 2), ONE),
        ("one full, the other's target down", merged(node("a", 2), node("b", 60, up=0)), ONE),
        ("all down", node("a", 2, up=0), NONE),
    ],
    "@node_mem_limit_total_below:0.05": [
        ("both empty", merged(node("a", 98), node("b", 99)), ONE),
        ("one of them used", merged(node("a", 98), node("b", 60)), NONE),
        ("no data", {}, NONE),
        (
            "no data of memory, but targets",
            {'up{job="web",instance="a"}': f"1{LONG}", 'up{job="web"}': f"1{LONG}"},
            NONE,
        ),
        ("the last node", node("a", 98), NONE),
        ("the last node of this job, others elsewhere", merged(node("a", 98), {'up{job="x"}': f"1{LONG}"}), NONE),
        ("one target down", merged(node("a", 98), node("b", 99), node("c", 99, up=0)), NONE),
        ("another job's target down", merged(node("a", 98), node("b", 99), {'up{job="x"}': f"0{LONG}"}), ONE),
    ],
    "@node_mem_limit:0.8": [
        ("one of two full", merged(node("a", 5), node("b", 60)), NODE_A),
        ("none full", merged(node("a", 50), node("b", 60)), NONE),
        ("no data", {}, NONE),
        ("one node, full", node("a", 5), NODE_A),
        ("the full one's target down", merged(node("a", 5, up=0), node("b", 60)), NONE),
    ],
    "@node_fs_limit:0.8": [
        ("the root nearly full", merged(disk("a", "/", 5), disk("b", "/", 50)), NODE_A),
        ("the root's other face full", merged(disk("a", "/", 50), disk("a", "/", 1, "rootfs")), NONE),
        ("another disk full", merged(disk("a", "/data", 5), disk("a", "/", 50)), NONE),
        ("no data", {}, NONE),
        ("one node, its root full", disk("a", "/", 5), NODE_A),
        ("its target down", merged(node("a", 5, up=0)), NONE),
    ],
    "@service_mem_limit:0.8": [
        ("over", container("t", 90), [of_container("t")]),
        ("one of two over", merged(container("t", 90), container("u", 50)), [of_container("t")]),
        ("under", container("t", 70), NONE),
        ("without a limit", container("t", 90, limit=0), NONE),
        ("another service's over", container("t", 90, of="webapp"), NONE),
        ("no data", {}, NONE),
        ("its cAdvisor down", cadvisor("c1", up=0), NONE),
    ],
    "@service_mem_limit_nobuff:0.8": [
        ("over", container("t", 95, working=90), [of_container("t")]),
        ("over with buffers only", container("t", 95, working=50), NONE),
        ("without a limit", container("t", 95, limit=0, working=90), NONE),
        ("no data", {}, NONE),
        ("its cAdvisor down", cadvisor("c1", up=0), NONE),
    ],
    "@resp_time_above:0.1,5m,0.9": [
        ("slow", SLOW, ONE),
        ("quick", QUICK, NONE),
        ("no requests", answers(f"5{LONG}", f"5{LONG}"), NONE),
        ("no data", {}, NONE),
        ("no such bucket", answers(f"0+1{LONG}", f"0+10{LONG}", "0.25"), NONE),
        ("one of two down", merged(SLOW, {'up{job="web",instance="b"}': f"0{LONG}"}), ONE),
        ("one slow of two", merged(SLOW, answers(f"0+90{LONG}", f"0+90{LONG}", instance="b")), NONE),
        ("reset, slow", RESET_SLOW, ONE),
        ("reset, quick", RESET_QUICK, NONE),
    ],
    "@resp_time_above:1,5m,0.9": [
        ("slow, as Prometheus 3 writes it", answers(f"0+1{LONG}", f"0+10{LONG}", "1.0"), ONE),
        ("slow, as Prometheus 2 writes it", answers(f"0+1{LONG}", f"0+10{LONG}", "1"), ONE),
        ("quick", answers(f"0+10{LONG}", f"0+10{LONG}", "1.0"), NONE),
    ],
    "@resp_time_below:0.1,5m,0.75": [
        ("quick", QUICK, ONE),
        ("slow", SLOW, NONE),
        ("no requests", answers(f"5{LONG}", f"5{LONG}"), NONE),
        ("no data", {}, NONE),
        ("one of two down", merged(QUICK, {'up{job="web",instance="b"}': f"0{LONG}"}), ONE),
        ("reset, quick", RESET_QUICK, ONE),
        ("reset, slow", RESET_SLOW, NONE),
    ],
    "@resp_time_server_error:5m,0.01": [
        ("errors", merged(QUICK, answers(f"0+1{LONG}", f"0+1{LONG}", code="503")), ONE),
        ("not found is no error", merged(QUICK, answers(f"0+1{LONG}", f"0+1{LONG}", code="404")), NONE),
        ("few errors", merged(QUICK, answers("0x55 1x5", "0x55 0x5", code="500")), NONE),
        ("none yet", QUICK, NONE),
        ("no data", {}, NONE),
        ("one of two down", merged(QUICK, {'up{job="web",instance="b"}': f"0{LONG}"}), NONE),
        ("reset", merged(RESET_QUICK, answers("500x30 0x30", "500x30 0x30", code="503")), NONE),
    ],
    "@replicas_running": [
        ("three of three", merged(*(container(task, 1) for task in "abc"), cadvisor("c1")), NONE),
        ("two of three", merged(*(container(task, 1) for task in "ab"), cadvisor("c1")), ONE),
        ("four of three", merged(*(container(task, 1) for task in "abcd"), cadvisor("c1")), ONE),
        ("none of three, others run", merged(container("x", 1, of="other"), cadvisor("c1")), ONE),
        ("no data", {}, NONE),
        ("a cAdvisor down", merged(container("a", 1), cadvisor("c1"), cadvisor("c2", up=0)), NONE),
        ("all cAdvisors down", cadvisor("c1", up=0), NONE),
        ("seen by two jobs", merged(*(container(task, 1) for task in "abc"), container("a", 1, on="c9")), NONE),
    ],
    "@replicas_less_than": [
        ("two of three", merged(*(container(task, 1) for task in "ab"), cadvisor("c1")), ONE),
        ("none of three, others run", merged(container("x", 1, of="other"), cadvisor("c1")), ONE),
        ("four of three", merged(*(container(task, 1) for task in "abcd"), cadvisor("c1")), NONE),
        ("no data", {}, NONE),
        ("one node, whose cAdvisor is down", cadvisor("c1", up=0), NONE),
        ("another's target down", merged(container("a", 1), cadvisor("c1"), {'up{job="x"}': f"0{LONG}"}), ONE),
        ("a cAdvisor down", merged(container("a", 1), cadvisor("c1"), cadvisor("c2", up=0)), NONE),
    ],
    "@replicas_more_than": [
        ("four of three", merged(*(container(task, 1) for task in "abcd"), cadvisor("c1")), ONE),
        ("two of three", merged(*(container(task, 1) for task in "ab"), cadvisor("c1")), NONE),
        ("no data", {}, NONE),
        ("a cAdvisor down", merged(*(container(task, 1) for task in "abcd"), cadvisor("c2", up=0)), NONE),
    ],
    "@resp_time_below:0.1,5m,0.75_unless_@node_mem_limit:0.8": [
        ("quick", merged(QUICK, node("a", 50)), ONE),
        ("quick, a node full", merged(QUICK, node("a", 5)), NONE),
    ],
    "@node_mem_limit:0.8_and_@node_fs_limit:0.8": [
        ("both, of one node", merged(node("a", 5), disk("a", "/", 5), node("b", 5)), NODE_A),
        ("of different nodes", merged(node("a", 5), disk("b", "/", 5)), NONE),
    ],
    "@node_mem_limit_total_above:0.95_or_@replicas_less_than": [
        ("the second", merged(container("a", 1), cadvisor("c1"), node("a", 50)), ONE),
        ("the first", merged(*(container(task, 1) for task in "abc"), cadvisor("c1"), node("a", 1)), ONE),
        ("neither", merged(*(container(task, 1) for task in "abc"), cadvisor("c1"), node("a", 50)), NONE),
    ],
}


@pytest.mark.parametrize("condition", CASES)
def test_it_fires_when_it_should_and_only_then(condition: str, tmp_path: Path) -> None:
    decision = decide([Service("web", alert(1, "x", condition, For="1m"), 3)])
    [rule] = decision.rules
    (tmp_path / "rules.yml").write_text(rendered(decision))
    (tmp_path / "test.yml").write_text(
        json.dumps(
            {
                "rule_files": ["rules.yml"],
                "evaluation_interval": "1m",
                "tests": [
                    {
                        "name": name,
                        "interval": "1m",
                        "input_series": [{"series": each, "values": values} for each, values in series.items()],
                        "alert_rule_test": [
                            _expected(when, rule.name, rule.labels, rule.annotations, expected)
                            for when in ("33m", "50m")  # soon after a reset, and long after it
                        ],
                    }
                    for name, series, expected in CASES[condition]
                ],
            }
        )
    )
    command = ["promtool", "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _expected(
    when: str, name: str, labels: Series, annotations: Series, alerts: Sequence[dict[str, str]]
) -> dict[str, Any]:
    fired = [{"exp_labels": {**each, **labels}, "exp_annotations": dict(annotations)} for each in alerts]
    return {"eval_time": when, "alertname": name, "exp_alerts": fired}
