"""monitoring/dashboard.json: it is whole, asks of one cluster, and only for metrics that there are."""

from __future__ import annotations

import re
from typing import Final

import promql_parser
import pytest

from infra.reference import metrics
from tests.scaffolding.monitoring.dashboard import dashboard, panels, queries, ready

JOIN: Final = '* on (job, instance) group_left () scaler_build_info{cluster=~"$cluster"}'
_ENDINGS: Final = re.compile(r"_(bucket|sum|count)$")


def known() -> set[str]:
    """The metrics of every process, as the reference names them."""
    tables = metrics.ingest() + metrics.worker() + metrics.rules()
    return set(re.findall(r"^\| `([a-z_]+)", tables, re.MULTILINE))


@pytest.mark.parametrize(("title", "query"), list(queries()), ids=[title for title, _ in queries()])
def test_each_query_is_promql_over_metrics_that_there_are_of_the_chosen_cluster(title: str, query: str) -> None:
    promql_parser.parse(ready(query, cluster="default"))
    names = set(re.findall(r"\b(?:scaler|process)_[a-z_]+", query))
    assert {_ENDINGS.sub("", name) for name in names if name.startswith("scaler")} <= known(), title
    assert query.count("$cluster") >= 1
    asked = re.findall(r"\b(?:scaler|process)_[a-z_]+", query.replace(JOIN, ""))
    assert asked == ["scaler_build_info"] or query.count(JOIN) == len(asked)


def test_each_panel_says_what_it_shows_and_has_a_place_of_its_own() -> None:
    shown = dashboard()["panels"]
    assert len({panel["id"] for panel in shown}) == len(shown)
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in shown}
    assert len(places) == len(shown)
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel["datasource"]["uid"] == "${datasource}"


def test_its_rows_are_the_questions_that_somebody_has() -> None:
    rows = [panel["title"] for panel in dashboard()["panels"] if panel["type"] == "row"]
    assert rows == [
        "Is it well?",
        "Groups against bounds",
        "Requests and steps",
        "Calls, queue, lease",
        "Nodes that cannot go",
    ]


def test_the_cluster_can_be_chosen() -> None:
    names = [variable["name"] for variable in dashboard()["templating"]["list"]]
    assert names == ["datasource", "cluster"]
