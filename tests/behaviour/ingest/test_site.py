"""The status page without a browser: what it shows, to whom, and how much of it there is."""

import re

import pytest

from ingest.site.rendering import duration, static, when
from ingest.site.views import candidates, group_view, nodes_view, step_views, timeline, title
from shared.errors import Unavailable
from shared.records import State
from shared.status import GroupStatus, Queue, RequestStatus, Status
from tests.behaviour.ingest import sample
from tests.behaviour.ingest.serving import Service
from tests.fakes.ingest import NOON, record

LOGIN = {"Authorization": "Basic YW5uOmNvcnJlY3QgaG9yc2U="}
"""ann, with the token of `prefixed` as her password."""


def fill(service: Service, workers: int = 5) -> None:
    service.journal.stored = sample.stored(workers)
    service.counts.queue = Queue(waiting=2, oldest=80.0, dead_letters=1)
    for each in sample.records():
        service.journal.write(each)


class TestTheCluster:
    async def test_it_shows_what_the_status_says(self, service: Service) -> None:
        fill(service)
        answer = await service.get("/")
        assert answer.code == 200
        assert answer.headers["Content-Type"].startswith("text/html")
        for words in (
            *("paused by ann", "Docker has not answered", "1 dead letter", "2 waiting", "swarm-NodeAsg-1ABC"),
            *("Waits for 6 worker nodes to be Ready", "at most until", "ip-10-0-0-12", "would-not-fit", "not joined"),
            *("DEFAULT_MAX_WORKER_NODES", "Nodes: if scaled down now", "down 2 worker nodes", "by node_mem_limit"),
        ):
            assert words in answer.text, words

    async def test_what_others_have_written_is_text(self, service: Service) -> None:
        fill(service)
        text = (await service.get("/")).text
        assert "No &lt;b&gt;node&lt;/b&gt; could go" in text

    async def test_nothing_of_it_may_come_from_elsewhere_or_stand_in_the_page(self, service: Service) -> None:
        fill(service)
        answer = await service.get("/")
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert not re.search(r"\sstyle=|<style|\son\w+=|<script>", answer.text)
        assert not re.search(r"(src|href|action)=\"(https?:)?//", answer.text)

    async def test_every_link_stays_below_the_prefix(self, prefixed: Service) -> None:
        fill(prefixed)
        for path in ("/scaler/", "/scaler/requests/down-1"):
            text = (await prefixed.get(path, headers=LOGIN)).text
            links = re.findall(r'(?:href|src)="(/[^"]*)"', text)
            assert links
            assert all(link.startswith("/scaler/") for link in links)
            for link in set(links):
                assert (await prefixed.get(link, headers=LOGIN)).code == 200, link

    @pytest.mark.parametrize("path", ["/", "/live", "/requests/down-1", "/requests/down-1/live", "/static/site.css"])
    async def test_without_the_token_nothing_is_shown(self, prefixed: Service, path: str) -> None:
        fill(prefixed)
        for place in (path, f"/scaler{path}"):
            answer = await prefixed.get(place)
            assert (answer.code, "Basic" in answer.headers["WWW-Authenticate"]) == (401, True)
            assert answer.json == {"status": "NOK", "message": "The token is missing or wrong"}

    async def test_no_worker_is_the_first_thing_that_is_said(self, service: Service) -> None:
        service.journal.stored = sample.stored(active=False)
        text = (await service.get("/")).text
        assert text.index("no-worker") < text.index("docker-silent")

    async def test_without_the_table_the_page_says_so(self, service: Service) -> None:
        service.journal.failure = Unavailable("DynamoDB: no answer")
        answer = await service.get("/")
        assert answer.code == 200
        assert "The table cannot be read: DynamoDB: no answer." in answer.text
        assert "They cannot be read now." in answer.text

    async def test_a_thousand_nodes_are_shown_a_hundred_at_a_time_in_less_than_300_kb(self, service: Service) -> None:
        fill(service, 1000)
        first, last = await service.get("/"), await service.get("/?page=11")
        assert max(len(first.text), len(last.text)) < 300 * 1024
        assert first.text.count('<th scope="row">ip-10') == 100
        assert "Page 11 of 11" in last.text
        found = await service.get("/?q=ip-10-0-3-7")
        assert "1 found" not in found.text or "ip-10-0-3-7" in found.text

    async def test_an_unknown_parameter_is_named(self, service: Service) -> None:
        assert (await service.get("/?pgae=2")).code == 400


class TestLive:
    async def test_only_what_has_changed_is_sent(self, service: Service) -> None:
        fill(service)
        text = (await service.get("/")).text
        marks = re.findall(r'data-mark="([^"]+)"', text)
        assert len(marks) == 5
        assert (await service.get(f"/live?have={','.join(marks)}")).text.strip() == ""
        service.journal.write(record("new", State.SKIPPED, "nothing to do"))
        changed = (await service.get(f"/live?have={','.join(marks)}")).text
        assert re.findall(r'<section id="(\w+)"', changed) == ["recent"]

    async def test_a_request_that_goes_on_is_sent_anew(self, service: Service) -> None:
        service.journal.write(record("one", State.RUNNING, "first"))
        before = (await service.get("/requests/one/live")).text
        service.journal.write(record("one", State.SUCCEEDED, "done"))
        after = (await service.get("/requests/one/live")).text
        assert ("first" in before, "done" in after) == (True, True)


class TestOneRequest:
    async def test_it_shows_steps_candidates_who_asked_and_the_timeline(self, service: Service) -> None:
        fill(service)
        text = (await service.get("/requests/down-1")).text
        for words in ("ann at 10.0.0.7", "quiet night", "42 s", "in the fullest zone", "protected", "Ended: succeeded"):
            assert words in text, words

    async def test_one_that_is_not_there_says_so(self, service: Service) -> None:
        answer = await service.get("/requests/nobody")
        assert answer.code == 404
        assert "no worker has taken it yet" in answer.text

    async def test_an_open_one_can_be_cancelled_an_ended_one_cannot(self, service: Service) -> None:
        fill(service)
        assert f"/v1/requests/{sample.UP}/cancel" in (await service.get(f"/requests/{sample.UP}")).text
        assert "/cancel" not in (await service.get("/requests/down-1")).text


class TestFiles:
    @pytest.mark.parametrize("name", ["site.css", "site.js", "icon.svg"])
    async def test_those_that_pages_need_are_there(self, service: Service, name: str) -> None:
        answer = await service.get(f"/static/{name}")
        assert answer.code == 200
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize("name", ["nothing.css", "../pages.py", ".", "__init__.py", "..", "a/b.css"])
    def test_no_others_are(self, name: str) -> None:
        assert static(name) is None


class TestViews:
    def test_a_group_beyond_its_maximum_has_a_longer_scale(self) -> None:
        view = group_view(GroupStatus(desired=8, instances=6, ready=4, min=2, max=5))
        assert (view.ready.width, view.booting.width, view.owed.width) == (50.0, 25.0, 25.0)
        assert (view.minimum, view.maximum) == (25.0, 62.5)

    def test_nodes_are_found_by_what_stands_in_their_row(self) -> None:
        status = sample.status(30)
        assert nodes_view(status, "AT-MINIMUM", 1).matching == 3
        assert nodes_view(status, "removable", 1).matching == nodes_view(status, "", 1).removable == 10
        assert nodes_view(status, "nobody", 9).page == 1

    def test_the_steps_share_one_scale(self) -> None:
        steps = step_views(sample.down(), NOON)
        assert [round(step.seconds) for step in steps] == [1, 42, 9, 20]
        assert steps[-1].bar.start + steps[-1].bar.width == pytest.approx(100, abs=0.2)
        assert step_views(record("x"), NOON) == []

    def test_candidates_of_a_plan_of_another_version_are_left_out(self) -> None:
        assert candidates({"chosen": ["a"], "passed_over": "b"}) == []
        assert [each.goes for each in candidates(sample.down().plan)] == [True, False]

    def test_of_a_dry_run_every_node_is_a_candidate_those_that_go_first(self) -> None:
        keeps = {"name": "a", "goes": False, "why": "", "reasons": [{"code": "quorum", "text": "no"}], "moves": {}}
        goes = {"name": "b", "goes": True, "why": "least tasks", "reasons": [], "moves": {"web": {"c": 2, "d": 1}}}
        first, second = candidates({"nodes": [keeps, goes, "nonsense"], "chosen": {"b": "least tasks"}})
        assert (first.name, first.goes, first.moves) == ("b", True, "web: 2 to c, web: 1 to d")
        assert (second.goes, second.code, second.why) == (False, "quorum", "no")

    def test_the_timeline_is_in_order(self) -> None:
        moments = timeline(sample.down())
        assert [moment.what for moment in moments][:2] == ["Requested (http)", "Taken by a worker"]
        assert moments == sorted(moments, key=lambda moment: moment.at)

    @pytest.mark.parametrize(
        ("request_", "words"),
        [
            (RequestStatus(action="scale-nodes", scale="up", type="worker", by=2), "up 2 worker nodes"),
            (RequestStatus(action="scale-service", scale="down", service="web", by=1), "web down 1"),
            (RequestStatus(action="some-thing"), "some thing"),
        ],
    )
    def test_a_request_has_a_title(self, request_: RequestStatus, words: str) -> None:
        assert title(request_) == words

    @pytest.mark.parametrize(("seconds", "words"), [(None, ""), (5.4, "5 s"), (75, "1 min 15 s"), (7380, "2 h 3 min")])
    def test_durations_have_words(self, seconds: float | None, words: str) -> None:
        assert duration(seconds) == words

    def test_a_moment_that_makes_no_sense_is_left_out(self) -> None:
        assert (when("soon"), when(None)) == ("", "")

    def test_an_empty_status_has_no_nodes(self) -> None:
        assert nodes_view(Status(), "", 1).total == 0
