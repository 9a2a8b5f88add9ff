"""From labels to rules: numbers, shortcuts, names, what wins; and each bad label costs its own alert, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.decision import decide
from rules.labels import FIELDS
from rules.model import Decision, Problem, Rule, Service
from rules.rendering import rendered
from tests.unit.rules.promtool import check, needs_promtool


def alert(number: int | None, name: str, condition: str, **more: str) -> dict[str, str]:
    """The labels of one alert; `more`: For="30s", Labels=..., Annotations=..., Persistent=..."""
    suffix = "" if number is None else f".{number}"
    fields = {"Name": name, "If": condition, **more}
    return {f"com.df.alert{key}{suffix}": value for key, value in fields.items()}


def service(name: str, labels: Mapping[str, str], replicas: int | None = 3) -> Service:
    return Service(name, labels, replicas, scaled_to_zero=replicas == 0)


def decided(name: str = "web", labels: Mapping[str, str] | None = None, replicas: int | None = 3) -> Decision:
    return decide([service(name, labels or {}, replicas)])


def only(decision: Decision) -> Rule:
    assert decision.problems == ()
    [rule] = decision.rules
    return rule


def reason(decision: Decision) -> str:
    assert decision.rules == ()
    [problem] = decision.problems
    return problem.reason


# What a label becomes


def test_an_expression_of_ones_own() -> None:
    labels = alert(
        None, "mem-load", "up == 0", For="30s", Labels="severity=high", Annotations="summary=it is {{ $value }}"
    )
    assert only(decided("my-service", labels)) == Rule(
        "my-service",
        "my_service_mem_load",
        "up == 0",
        "30s",
        {"service": "my-service", "severity": "high"},
        {"summary": "it is {{ $value }}"},
    )


def test_numbers_come_in_any_order_with_gaps() -> None:
    labels = {**alert(12, "b", "up"), **alert(3, "a", "up"), **alert(None, "c", "up"), **alert(100, "d", "up")}
    decision = decided(labels=labels)
    assert [rule.name for rule in decision.rules] == ["web_c", "web_a", "web_b", "web_d"]
    assert decision.problems == ()


def test_the_services_own_labels_and_annotations_win_over_a_shortcuts() -> None:
    more = {"Labels": "receiver=me,scale=no,service=other", "Annotations": "summary=mine"}
    rule = only(decided(labels=alert(1, "mem", "@node_mem_limit_total_above:0.95", **more)))
    assert rule.labels == {"receiver": "me", "service": "other", "scale": "no", "type": "node"}
    assert rule.annotations == {"summary": "mine"}


_SHORTCUTS = [
    ("@service_mem_limit:0.8", {}, "Memory of the service web is over 0.8"),
    ("@service_mem_limit_nobuff:0.8", {}, "Memory without buffer of the service web is over 0.8"),
    ("@node_mem_limit:0.8", {}, "Memory of a node is over 0.8"),
    ("@node_mem_limit_total_above:0.95", {"scale": "up", "type": "node"}, "Total memory of the nodes is over 0.95"),
    ("@node_mem_limit_total_below:0.05", {"scale": "down", "type": "node"}, "Total memory of the nodes is below 0.05"),
    ("@node_fs_limit:0.8", {}, "Disk usage of a node is over 0.8"),
    (
        "@resp_time_above:0.1,5m,0.99",
        {"scale": "up", "type": "service"},
        "Response time of the service web is above 0.1",
    ),
    (
        "@resp_time_below:0.1,5m,0.7",
        {"scale": "down", "type": "service"},
        "Response time of the service web is below 0.1",
    ),
    ("@resp_time_server_error:5m,0.001", {"type": "errors"}, "Error rate of the service web is above 0.001"),
    ("@replicas_running", {"scale": "up"}, "The number of running replicas of the service web is not 3"),
    ("@replicas_less_than", {"scale": "up"}, "The number of running replicas of the service web is less than 3"),
    ("@replicas_more_than", {"scale": "down"}, "The number of running replicas of the service web is more than 3"),
]


@pytest.mark.parametrize(("shortcut", "labels", "summary"), _SHORTCUTS)
def test_each_shortcut_has_its_labels_and_summary(shortcut: str, labels: dict[str, str], summary: str) -> None:
    rule = only(decided(labels=alert(1, "x", shortcut)))
    assert rule.labels == {"receiver": "system", "service": "web", **labels}
    assert rule.annotations == {"summary": summary}
    assert "<<" not in rule.expression


@needs_promtool
def test_prometheus_takes_each_shortcut_alone_and_with_every_other(tmp_path: Path) -> None:
    names = [name for name, _, _ in _SHORTCUTS]
    pairs = [f"{one}_{word}_{other}" for one in names for other in names for word in ("and", "or", "unless")]
    labels: dict[str, str] = {}
    for number, condition in enumerate([*names, *pairs], start=1):
        labels |= alert(number, f"a{number}", condition)
    decision = decided(labels=labels)
    assert len(decision.rules) == 12 + 3 * 144
    assert check(tmp_path, rendered(decision)) == ""


def test_replica_shortcuts_scale_nodes_only_where_the_service_says_so() -> None:
    rule = only(decided(labels=alert(1, "x", "@replicas_less_than", Labels="type=node")))
    assert rule.labels == {"receiver": "system", "service": "web", "scale": "up", "type": "node"}


def test_joined_shortcuts_have_the_labels_that_they_agree_on() -> None:
    fast = "@resp_time_below:0.025,5m,0.75"
    rule = only(decided(labels=alert(1, "x", f"{fast}_unless_@resp_time_above:0.1,5m,0.99")))
    assert rule.labels == {"receiver": "system", "service": "web", "type": "service"}
    assert rule.annotations["summary"] == (
        "Response time of the service web is below 0.025 unless Response time of the service web is above 0.1"
    )
    same = only(
        decided(labels=alert(1, "x", "@resp_time_above:0.1,5m,0.9_or_@replicas_less_than_and_@replicas_running"))
    )
    assert same.labels == {"receiver": "system", "service": "web", "scale": "up"}


def test_joined_results_of_unlike_things_are_matched_by_no_label() -> None:
    alike = only(decided(labels=alert(1, "x", "@node_mem_limit:0.8_and_@node_fs_limit:0.8")))
    assert ") and (" in alike.expression
    unlike = only(decided(labels=alert(1, "x", "@node_mem_limit:0.8_and_@service_mem_limit:0.8")))
    assert ") and on () (" in unlike.expression


def test_a_bucket_is_found_as_prometheus_2_and_3_write_it() -> None:
    assert 'le=~"1|1[.]0"' in only(decided(labels=alert(1, "x", "@resp_time_above:1,5m,0.9"))).expression
    assert 'le=~"0[.]25"' in only(decided(labels=alert(1, "x", "@resp_time_above:0.25,5m,0.9"))).expression


# Which services have rules


def test_a_service_scaled_to_zero_has_only_what_is_persistent() -> None:
    labels = {
        **alert(1, "a", "up"),
        **alert(2, "b", "up", Persistent="true"),
        **alert(3, "c", "up", Persistent="false"),
    }
    assert [rule.name for rule in decided(labels=labels, replicas=0).rules] == ["web_b"]
    assert [rule.name for rule in decided(labels=labels, replicas=1).rules] == ["web_a", "web_b", "web_c"]


def test_notify_false_turns_a_service_off_and_its_problems_too() -> None:
    labels = {**alert(1, "a", "up"), **alert(2, "b", "up ==")}
    assert decided(labels={**labels, "com.df.notify": "false"}) == Decision((), ())
    assert len(decided(labels={**labels, "com.df.notify": "true"}).rules) == 1


def test_a_notify_that_is_neither_leaves_the_rules_on_and_is_told() -> None:
    decision = decided(labels={**alert(1, "a", "up"), "com.df.notify": "nope"})
    assert [rule.name for rule in decision.rules] == ["web_a"]
    assert decision.problems == (
        Problem("web", "notify", "notify: 'nope' is neither true nor false; its rules stay on"),
    )


def test_a_service_that_is_gone_takes_its_rules_along_and_nobody_elses() -> None:
    web, webapp = service("web", alert(1, "a", "up")), service("webapp", alert(1, "a", "up"))
    assert [rule.service for rule in decide([web, webapp]).rules] == ["web", "webapp"]
    assert [rule.service for rule in decide([webapp]).rules] == ["webapp"]


def test_services_whose_rules_collide_after_mending_are_told_apart_by_their_label() -> None:
    decision = decide([service("a-b", alert(1, "x", "up")), service("a_b", alert(1, "x", "up"))])
    assert [(rule.name, rule.labels["service"]) for rule in decision.rules] == [("a_b_x", "a-b"), ("a_b_x", "a_b")]
    assert decision.problems == ()


def test_of_two_alerts_that_would_be_one_the_second_is_left_out() -> None:
    labels = {**alert(1, "a-b", "up"), **alert(2, "a_b", "up == 0"), **alert(3, "a_b", "up", Labels="severity=low")}
    decision = decided(labels=labels)
    assert [rule.expression for rule in decision.rules] == ["up", "up"]
    [problem] = decision.problems
    assert problem.alert == "a_b"
    assert "web_a_b with the same labels is also an alert of web" in problem.reason


# What is wrong with labels


BROKEN = {
    "no name": ({"com.df.alertIf.1": "up"}, "there is no com.df.alertName.1"),
    "no condition": ({"com.df.alertName.1": "a"}, "there is no com.df.alertIf.1"),
    "an empty condition": (alert(1, "a", " "), "there is no com.df.alertIf.1, or it is empty"),
    "half an expression": (alert(1, "a", "up =="), "alertIf: not PromQL"),
    "an unknown shortcut": (alert(1, "a", "@node_mem_limits:0.8"), "do you mean @node_mem_limit?"),
    "too few values": (alert(1, "a", "@resp_time_above:0.1,5m"), "@resp_time_above takes 3 value(s)"),
    "no values": (alert(1, "a", "@node_mem_limit"), "@node_mem_limit takes 1 value(s): a share from 0 to 1, as in"),
    "too many values": (alert(1, "a", "@replicas_running:3"), "@replicas_running takes no values"),
    "a percentage": (alert(1, "a", "@node_mem_limit:80"), "'80' is no share; write a number from 0 to 1"),
    "a range that is none": (alert(1, "a", "@resp_time_above:0.1,5,0.9"), "'5' is no duration"),
    "a range of nothing": (alert(1, "a", "@resp_time_above:0.1,0s,0.9"), "alertIf: not PromQL"),
    "a joint without a part": (alert(1, "a", "@node_mem_limit:0.8_and_up"), "'0.8_and_up' is no share"),
    "a duration": (alert(1, "a", "up", For="soon"), "alertFor: 'soon' is no duration"),
    "a label without =": (alert(1, "a", "up", Labels="severity"), "alertLabels: 'severity' has no ="),
    "a label's name": (alert(1, "a", "up", Labels="a.b=c"), "alertLabels: 'a.b' is no name"),
    "alertname": (alert(1, "a", "up", Labels="alertname=b"), "it is set by alertName"),
    "a template": (alert(1, "a", "up", Annotations="summary={{ $value"), "{{ has no }}"),
    "a template in a label": (alert(1, "a", "up", Labels="b={{ nothing }}"), "nothing is no function"),
    "persistent": (alert(1, "a", "up", Persistent="maybe"), "alertPersistent.1: 'maybe' is neither true nor false"),
    "an unknown label": ({"com.df.alertif.1": "up"}, "com.df.alertif means nothing; do you mean com.df.alertIf?"),
    "a suffix": ({"com.df.alertIf.one": "up"}, "'one' is no number; alerts are numbered .1, .2"),
    "a suffix 0": ({"com.df.alertIf.0": "up"}, "'0' is no number"),
    "a scrape port": ({"com.df.scrapePort": "http"}, "scrapePort: 'http' is no port"),
    "a port too high": ({"com.df.scrapePort": "70000"}, "scrapePort: '70000' is no port"),
    "a path": ({"com.df.scrapePort": "80", "com.df.metricsPath": "metrics"}, "metricsPath: 'metrics' is no path"),
    "an interval": ({"com.df.scrapePort": "80", "com.df.scrapeInterval": "often"}, "'often' is no duration"),
    "a long time-out": (
        {"com.df.scrapePort": "80", "com.df.scrapeTimeout": "1m"},
        "1m, is longer than the interval, 10s",
    ),
    "a short interval": (
        {"com.df.scrapePort": "80", "com.df.scrapeInterval": "5s"},
        "10s, is longer than the interval, 5s",
    ),
    "a path without port": ({"com.df.metricsPath": "/x"}, "without com.df.scrapePort nothing is scraped"),
    "an empty network": ({"com.df.scrapePort": "80", "com.df.scrapeNetwork": " "}, "scrapeNetwork: empty"),
}


@pytest.mark.parametrize("labels", BROKEN.values(), ids=BROKEN.keys())
def test_a_bad_label_is_named_with_what_is_wrong(labels: tuple[dict[str, str], str]) -> None:
    assert labels[1] in reason(decided(labels=labels[0]))


def test_a_replica_shortcut_of_a_service_without_a_number_of_replicas_is_refused() -> None:
    assert "nobody says how many web shall have" in reason(
        decided(labels=alert(1, "x", "@replicas_running"), replicas=None)
    )


def good_and_broken() -> list[Service]:
    """50 good services, one with a good alert, and beside it every kind of broken label."""
    good = [service(f"good-{number}", alert(1, "mem", "@service_mem_limit:0.8")) for number in range(50)]
    labels: dict[str, str] = alert(1000, "fine", "up == 0")
    single: list[Service] = []
    for number, (broken, _) in enumerate(BROKEN.values(), start=1):
        if any("alert" in key and key.endswith(".1") for key in broken):
            labels |= {f"{key.removesuffix('.1')}.{number}": value for key, value in broken.items()}
        else:
            single.append(service(f"other-{number}", {**broken, **alert(7, "fine", "up")}))
    return [*good, service("broken", labels), *single]


_LONG = ["(" * 5000, "9" * 5000 + "s", "9" * 5000, "x > 0x" + "F" * 400, "a=" * 5000, "[" * 5000, "-" * 5000 + "x"]
_HOSTILE = [
    "@node_mem_limit:",
    "_and_@",
    "up",
    "{{",
    "}}",
    "$value",
    "|",
    ",",
    "=",
    "\\",
    "\n",
    "'",
    '"',
    "\x00",
    "true",
    "30s",
]
_KEYS = st.builds(
    lambda name, suffix: f"com.df.{name}{suffix}",
    st.sampled_from(
        [*FIELDS, "notify", "scrapePort", "metricsPath", "scrapeInterval", "scrapeTimeout", "scrapeNetwork"]
    ),
    st.sampled_from(["", ".1", ".2", ".x", ".0", "." + "9" * 5000]),
)
_VALUES = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=20),
    st.lists(st.sampled_from(_HOSTILE), max_size=6).map("".join),
    st.sampled_from([*_LONG, *(f"{{{{ {text} }}}}" for text in _LONG), *(f"a={{{{ {text} }}}}" for text in _LONG)]),
    st.sampled_from([labels[key] for labels, _ in BROKEN.values() for key in labels]),
)


@settings(max_examples=300)
@given(st.dictionaries(_KEYS, _VALUES, max_size=12))
def test_whatever_stands_in_labels_others_keep_their_rules(labels: dict[str, str]) -> None:
    decision = decide([service("hostile", labels), service("web", alert(1, "mem", "@service_mem_limit:0.8"))])
    assert [rule.name for rule in decision.rules if rule.service == "web"] == ["web_mem"]
    names = [group["name"] for group in yaml.load(rendered(decision), yaml.CSafeLoader)["groups"]]
    assert "service web" in names


@pytest.mark.parametrize("text", _LONG, ids=range(len(_LONG)))
def test_what_is_too_long_or_deep_is_refused(text: str) -> None:
    for labels in (
        alert(1, "a", text),
        alert(1, "a", "up", For=text),
        alert(1, "a", "up", Labels=f"a={{{{ {text} }}}}"),
        alert(1, "a", f"rate(x[{text}]) > 1"),
        {"com.df.scrapePort": text},
    ):
        assert len(decided(labels=labels).problems) == 1


@needs_promtool
def test_fifty_good_services_work_beside_every_kind_of_broken_label(tmp_path: Path) -> None:
    services = good_and_broken()
    decision = decide(services)
    fine = [each.name for each in services if each.name != "broken"] + ["broken"]
    assert sorted(rule.service for rule in decision.rules) == sorted(fine)
    assert len(decision.problems) == len(BROKEN)
    text = rendered(decision)
    assert check(tmp_path, text) == ""
    [told] = [group["rules"] for group in yaml.safe_load(text)["groups"] if group["name"] == "labels"]
    assert len(told) == len(BROKEN)
    assert {rule["alert"] for rule in told} == {"ScalerRuleInvalid"}
    wanted = {(problem.service, problem.alert) for problem in decision.problems}
    assert {(rule["labels"]["service"], rule["labels"]["alert"]) for rule in told} == wanted
    said = [rule["annotations"]["summary"].replace('{{ "{{" }}', "{{") for rule in told]
    for number, (_, words) in enumerate(BROKEN.values(), start=1):
        numbered = words.replace(".1", f".{number}") if "com.df" in words or "Persistent" in words else words
        assert any(words in each or numbered in each for each in said), words
