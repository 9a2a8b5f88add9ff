"""From all services to all rules: purely, each rule made and judged alone, so that a bad label costs one alert."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from rules import scraping, templates, texts
from rules.expansion import condition
from rules.labels import PREFIX, Described, described
from rules.model import BadLabel, Decision, Problem, Rule, Service
from rules.shortcuts import SHORTCUTS, Shortcut

_NOTIFY = f"{PREFIX}notify"


def decide(services: Sequence[Service], own: Mapping[str, Shortcut] | None = None) -> Decision:
    """The rules in the order of services and numbers, and what was left out. `own`: shortcuts besides the built-in."""
    shortcuts = {**SHORTCUTS, **(own or {})}
    found = chain.from_iterable(_of(each, shortcuts) for each in sorted(services, key=lambda each: each.name))
    rules: dict[object, Rule] = {}
    problems: list[Problem] = []
    for each in found:
        if isinstance(each, Problem):
            problems.append(each)
            continue
        alert, rule = each
        first = rules.setdefault(rule.identity(), rule)
        if first is not rule:
            problems.append(Problem(rule.service, alert, _twice(rule, first)))
    return Decision(tuple(rules.values()), tuple(sorted(set(problems))))


def _twice(rule: Rule, first: Rule) -> str:
    return (
        f"{rule.name} with the same labels is also an alert of {first.service}: to Alertmanager both would be one; "
        "give it another alertName or other alertLabels"
    )


def _of(service: Service, shortcuts: Mapping[str, Shortcut]) -> Iterator[tuple[str, Rule] | Problem]:
    """A service's rules, each with its alert's title, and problems."""
    try:
        if not texts.truth(service.labels.get(_NOTIFY) or "true", "notify"):
            return
    except BadLabel as error:
        yield Problem(service.name, "notify", f"{error}; its rules stay on")
    alerts, strangers = described(service.labels)
    yield from (Problem(service.name, *each) for each in (*scraping.problems(service.labels), *strangers))
    for alert in alerts:
        try:
            if not service.scaled_to_zero or _persistent(alert):
                yield alert.title(), _rule(service, alert, shortcuts)
        except BadLabel as error:
            yield Problem(service.name, alert.title(), str(error))


def _persistent(alert: Described) -> bool:
    return texts.truth(alert.given.get("alertPersistent") or "false", alert.label("alertPersistent"))


def _rule(service: Service, alert: Described, shortcuts: Mapping[str, Shortcut]) -> Rule:
    """One alert as a rule. Raises BadLabel."""
    given = {name: value for name, value in alert.given.items() if value.strip()}
    for needed in ("alertName", "alertIf"):
        if needed not in given:
            raise BadLabel(f"there is no {PREFIX}{alert.label(needed)}, or it is empty")
    _persistent(alert)  # a value that is neither true nor false is told now, not when the service is scaled to zero
    lasting = texts.duration(given["alertFor"], "alertFor") if "alertFor" in given else ""
    meant = condition(given["alertIf"], service, shortcuts)
    labels = {"service": service.name, **meant.labels, **texts.pairs(given.get("alertLabels", ""), "alertLabels")}
    annotations = {**meant.annotations, **texts.pairs(given.get("alertAnnotations", ""), "alertAnnotations")}
    if "alertname" in labels:
        raise BadLabel("alertLabels: alertname is the rule's name; it is set by alertName")
    for what, pairs in (("alertLabels", labels), ("alertAnnotations", annotations)):
        for key, value in pairs.items():
            templates.checked(value, f"{what}: {key}")
    name = texts.mended(f"{service.name}_{given['alertName'].strip()}")
    return Rule(service.name, name, meant.expression, lasting, labels, annotations)
