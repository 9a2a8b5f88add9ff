"""Docker Flow Monitor's twelve shortcuts, over the metrics that today's exporters have.

Names, arguments, labels and summaries are its own, so that stacks written for it work as they are; the expressions are
not. Where they differ in what they say, and why, is told in docs/alerts.md.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from rules.texts import duration, seconds, share

Reader = Callable[[str, str], str]
"""Reads an argument of a label, which the second text names. Raises BadLabel."""
Series = Literal["service", "node", "container", "own"]
"""What there is one result for."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One of the values behind the colon."""

    meaning: str
    read: Reader


@dataclass(frozen=True, slots=True)
class Shortcut:
    """Templates: `<<S>>` stands for the service, `<<R>>` for its replicas, `<<0>>`, `<<1>>` for the arguments."""

    expression: str
    annotations: Mapping[str, str]
    arguments: tuple[Argument, ...]
    series: Series
    labels: Mapping[str, str] = field(default_factory=dict)
    example: str = ""

    def filled(self, text: str, service: str, replicas: int | None, values: Sequence[str]) -> str:
        """A text of it with the placeholders filled in."""
        known = {"S": service, "R": str(replicas), **{str(place): value for place, value in enumerate(values)}}
        return _PLACEHOLDER.sub(lambda match: known.get(match[1], match[0]), text)

    def counts_replicas(self) -> bool:
        """Whether it needs to know how many tasks there shall be."""
        return "<<R>>" in "".join((self.expression, *self.labels.values(), *self.annotations.values()))


_PLACEHOLDER: Final = re.compile(r"<<(\w+)>>")


def bucket(text: str, what: str) -> str:
    """The `le` of a histogram's bucket, as a regular expression: Prometheus 3 writes 1 as 1.0. Raises BadLabel."""
    wanted = seconds(text, what)
    forms = dict.fromkeys([wanted, f"{float(wanted):g}", repr(float(wanted))])
    return "|".join(each.replace(".", "[.]") for each in forms)


_SHARE: Final = Argument("a share from 0 to 1", share)
_RANGE: Final = Argument("a duration", duration)
_BUCKET: Final = Argument("seconds, a bucket of the histogram", bucket)

_OF_SERVICE: Final = 'container_label_com_docker_swarm_service_name="<<S>>"'
_MEMORY: Final = f"/ (container_spec_memory_limit_bytes{{{_OF_SERVICE}}} > 0) > <<0>>"
_TOTAL: Final = '1 - sum(node_memory_MemAvailable_bytes{job="<<S>>"}) / sum(node_memory_MemTotal_bytes{job="<<S>>"})'
_ANSWERED: Final = 'sum(rate(http_server_resp_time_count{job="<<S>>"}[<<1>>]))'
_WITHIN: Final = f'sum(rate(http_server_resp_time_bucket{{job="<<S>>", le=~"<<0>>"}}[<<1>>])) / {_ANSWERED}'
# Tasks, by cAdvisor: 0 where it sees others and none of these; nothing while one cAdvisor does not answer.
_COUNTED: Final = (
    f"(count(count by (container_label_com_docker_swarm_task_id) (container_start_time_seconds{{{_OF_SERVICE}}}))"
    ' or 0 * count(container_start_time_seconds{container_label_com_docker_swarm_task_id!=""}))'
)
_ALL_SEEN: Final = "unless on () (up == 0 and on (job) container_start_time_seconds)"


def _replicas(comparison: str, words: str, scale: str) -> Shortcut:
    return Shortcut(
        f"{_COUNTED} {comparison} <<R>> {_ALL_SEEN}",
        {"summary": f"The number of running replicas of the service <<S>> is {words} <<R>>"},
        (),
        "service",
        {"scale": scale},
    )


SHORTCUTS: Final[Mapping[str, Shortcut]] = {
    "@service_mem_limit": Shortcut(
        f"container_memory_usage_bytes{{{_OF_SERVICE}}} {_MEMORY}",
        {"summary": "Memory of the service <<S>> is over <<0>>"},
        (_SHARE,),
        "container",
        example="@service_mem_limit:0.8",
    ),
    "@service_mem_limit_nobuff": Shortcut(
        f"container_memory_working_set_bytes{{{_OF_SERVICE}}} {_MEMORY}",
        {"summary": "Memory without buffer of the service <<S>> is over <<0>>"},
        (_SHARE,),
        "container",
        example="@service_mem_limit_nobuff:0.8",
    ),
    "@node_mem_limit": Shortcut(
        '1 - node_memory_MemAvailable_bytes{job="<<S>>"} / node_memory_MemTotal_bytes{job="<<S>>"} > <<0>>',
        {"summary": "Memory of a node is over <<0>>"},
        (_SHARE,),
        "node",
        example="@node_mem_limit:0.8",
    ),
    "@node_mem_limit_total_above": Shortcut(
        f"{_TOTAL} > <<0>>",
        {"summary": "Total memory of the nodes is over <<0>>"},
        (_SHARE,),
        "service",
        {"scale": "up", "type": "node"},
        example="@node_mem_limit_total_above:0.95",
    ),
    # Silent while a node does not answer, whose memory is missing in the sums, and where no node is left to remove.
    "@node_mem_limit_total_below": Shortcut(
        f'{_TOTAL} < <<0>> and count(up{{job="<<S>>"}} == 1) > 1 unless count(up{{job="<<S>>"}} == 0) > 0',
        {"summary": "Total memory of the nodes is below <<0>>"},
        (_SHARE,),
        "service",
        {"scale": "down", "type": "node"},
        example="@node_mem_limit_total_below:0.05",
    ),
    "@node_fs_limit": Shortcut(
        'max by (job, instance) (1 - node_filesystem_avail_bytes{job="<<S>>", mountpoint="/", fstype!="rootfs"}'
        ' / node_filesystem_size_bytes{job="<<S>>", mountpoint="/", fstype!="rootfs"}) > <<0>>',
        {"summary": "Disk usage of a node is over <<0>>"},
        (_SHARE,),
        "node",
        example="@node_fs_limit:0.8",
    ),
    "@resp_time_above": Shortcut(
        f"{_WITHIN} < <<2>>",
        {"summary": "Response time of the service <<S>> is above <<0>>"},
        (_BUCKET, _RANGE, _SHARE),
        "service",
        {"scale": "up", "type": "service"},
        example="@resp_time_above:0.1,5m,0.99",
    ),
    "@resp_time_below": Shortcut(
        f"{_WITHIN} > <<2>>",
        {"summary": "Response time of the service <<S>> is below <<0>>"},
        (_BUCKET, _RANGE, _SHARE),
        "service",
        {"scale": "down", "type": "service"},
        example="@resp_time_below:0.025,5m,0.75",
    ),
    "@replicas_running": _replicas("!=", "not", "up"),
    "@replicas_less_than": _replicas("<", "less than", "up"),
    "@replicas_more_than": _replicas(">", "more than", "down"),
    "@resp_time_server_error": Shortcut(
        'sum(rate(http_server_resp_time_count{job="<<S>>", code=~"5.."}[<<0>>]))'
        ' / sum(rate(http_server_resp_time_count{job="<<S>>"}[<<0>>])) > <<1>>',
        {"summary": "Error rate of the service <<S>> is above <<1>>"},
        (_RANGE, _SHARE),
        "service",
        {"type": "errors"},
        example="@resp_time_server_error:5m,0.001",
    ),
}
