"""Every row of the contract's tables for HTTP, against the real server."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from shared.actions import ACTIONS
from shared.errors import Refused, Unavailable
from shared.records import Record, State
from tests.behaviour.ingest.serving import Service, payload, serving
from tests.fakes.ingest import record

UP = "/v1/scale-nodes?scale=up&type=worker"


# --- 202 --------------------------------------------------------------------------------------------------------


async def test_the_tutorials_curl_is_queued(service: Service) -> None:
    answer = await service.post("/v1/scale-nodes?by=1&type=worker", {"groupLabels": {"scale": "up"}})
    [message] = service.inbox.messages
    assert (answer.code, answer.json["status"], answer.json["id"]) == (202, "OK", message["id"])
    assert answer.headers["Location"] == f"/v1/requests/{message['id']}"
    assert message == {
        "action": "scale-nodes",
        "scale": "up",
        "type": "worker",
        "by": 1,
        "id": answer.json["id"],
        "requested_at": "2026-11-22T12:00:00Z",
        "source": "http",
        "asked_by": {"address": "127.0.0.1"},
        "version": 1,
    }


async def test_a_whole_webhook_is_queued_with_its_service_reason_and_dedup_key(service: Service) -> None:
    answer = await service.post("/v1/scale-nodes?type=worker", payload("tutorial_firing"))
    [message] = service.inbox.messages
    assert answer.code == 202
    assert len(message.pop("dedup_key")) == 64
    assert message.items() >= {
        ("scale", "up"),
        ("type", "worker"),
        ("service", "exporter_node-exporter-worker"),
        ("source", "alertmanager"),
        ("reason", "Total memory of the nodes is over 0.005"),
    }


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/v1/scale-nodes?scale=down&type=manager&by=2&service=web", {"scale": "down", "type": "manager", "by": 2}),
        ("/v1/scale-service?service=web&scale=down&by=2", {"service": "web", "scale": "down", "by": 2}),
        ("/v1/scale-service?service=web&scale=up", {"service": "web", "scale": "up"}),
        ("/v1/reschedule-services", {}),
        ("/v1/reschedule-service?service=web", {"service": "web"}),
    ],
)
async def test_each_action_is_queued_from_the_query_alone(service: Service, path: str, asked: dict[str, Any]) -> None:
    answer = await service.post(path)
    [message] = service.inbox.messages
    assert answer.code == 202
    assert message.items() >= {**asked, "action": path.partition("?")[0].removeprefix("/v1/"), "source": "http"}.items()


async def test_a_service_scale_takes_everything_from_the_labels(service: Service) -> None:
    labels = {"service": "web", "scale": "up", "by": "3", "type": "service"}
    await service.post("/v1/scale-service", {"commonLabels": labels})
    assert service.inbox.messages[0].items() >= {("service", "web"), ("scale", "up"), ("by", 3)}
    assert "type" not in service.inbox.messages[0]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain", "application/json", "image/png"])
async def test_the_content_type_is_ignored(service: Service, kind: str) -> None:
    answer = await service.post(
        "/v1/scale-nodes?type=worker", '{"groupLabels": {"scale": "up"}}', headers={"Content-Type": kind}
    )
    assert answer.code == 202


@pytest.mark.parametrize("body", ["", "  \n", "{}", '{"groupLabels": null, "commonLabels": null, "alerts": null}'])
async def test_an_empty_body_is_fine(service: Service, body: str) -> None:
    assert (await service.post(UP, body)).code == 202


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf{}",
        '{"x": "\\ud800"}',
        '{"\\ud800": 1}',
        '{"groupLabels": {"x": "\\ud800", "\\udfff": "y"}, "externalURL": "\\ud800"}',
        '{"receiver": "\\ud800", "commonAnnotations": {"summary": "\\ud800", "\\ud800": 1}}',
        '{"alerts": [{"labels": {"alertname": "\\ud800"}}]}',
    ],
)
async def test_byte_order_marks_and_lone_surrogates_do_no_harm(service: Service, body: bytes | str) -> None:
    assert (await service.post(UP, body)).code == 202
    assert len(service.inbox.messages) == 1


@pytest.mark.parametrize("name", ["scale", "type", "by", "service"])
async def test_a_lone_surrogate_is_refused_where_it_is_read(service: Service, name: str) -> None:
    rest = {"scale": "up", "type": "worker"}
    query = "&".join(f"{key}={value}" for key, value in rest.items() if key != name)
    answer = await service.post(f"/v1/scale-nodes?{query}", f'{{"groupLabels": {{"{name}": "x\\ud800"}}}}')
    assert answer.code == 400


async def test_nothing_is_answered_202_before_the_queue_has_it(service: Service) -> None:
    service.inbox.failure = Unavailable("SQS: no answer in time")
    answer = await service.post(UP)
    assert answer.code == 503
    assert "SQS: no answer in time" in answer.message
    assert "Idempotency-Key" in answer.message


# --- 200 without waiting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ACTIONS)
async def test_resolved_alerts_never_do_anything(service: Service, action: str) -> None:
    answer = await service.post(f"{ACTIONS[action].route}?type=worker&service=web", payload("tutorial_resolved"))
    assert answer.code == 200
    assert answer.json["status"] == "OK"
    assert answer.message.startswith("Ignored: ")
    assert service.inbox.messages == []


# --- 400 --------------------------------------------------------------------------------------------------------

BAD = [
    ("/v1/scale-nodes?type=worker", "", "No scale direction"),
    ("/v1/scale-nodes?type=worker&scale=", "", "No scale direction"),
    ("/v1/scale-nodes?type=worker&scale=sideways", "", "Incorrect scale direction"),
    ("/v1/scale-nodes?type=worker&scale=UP", "", "Incorrect scale direction"),
    ("/v1/scale-nodes?type=worker", '{"groupLabels": {"scale": ["up"]}}', "Incorrect scale direction"),
    ("/v1/scale-nodes?scale=up", "", "Incorrect node type: , type can only be worker or manager"),
    ("/v1/scale-nodes?scale=up&type=node", "", "Incorrect node type: node, type can only be worker or manager"),
    (
        "/v1/scale-nodes?scale=up",
        '{"groupLabels": {"type": "node"}}',
        "Incorrect node type: node, type can only be worker or manager",
    ),
    ("/v1/scale-nodes?type=nope", "", "No scale direction"),
    ("/v1/scale-service?scale=up", "", "No service name in request"),
    ("/v1/scale-service", "", "No service name in request"),
    ("/v1/scale-service?service=web", "", "No scale direction in request"),
    ("/v1/scale-service?service=web&scale=boo", "", "Incorrect scale direction in request"),
    ("/v1/reschedule-service", "", "No service name in request"),
    *(
        (f"{UP}&by={by}", "", f"Incorrect by: {by}, by can only be a whole number from 1 to 10000")
        for by in ("0", "-3", "abc", "1.5", "10001", "9223372036854775807", "1e3", "0x1", "²", "٣")
    ),
    (UP, '{"groupLabels": {"by": "1\\n2"}}', "Incorrect by: 1?2, by can only be"),
    (UP, '{"groupLabels": {"by": true}}', "Incorrect by: true, by can only be a whole number from 1 to 10000"),
    (UP, '{"groupLabels": {"by": 1.0}}', "Incorrect by: 1.0, by can only be a whole number from 1 to 10000"),
    (f"{UP}&wiat=60", "", "Unknown parameter: wiat, did you mean wait? (known here: scale, type, by, service, wait, "),
    (f"{UP}&typ=worker", "", "Unknown parameter: typ, did you mean type?"),
    (f"{UP}&Scale=up", "", "Unknown parameter: Scale, did you mean scale?"),
    (f"{UP}&colour=red", "", "Unknown parameter: colour (known here: scale, type, by, service, wait, reason, dry_run)"),
    (f"{UP}&%0a=1", "", "Unknown parameter: ?"),
    ("/v1/reschedule-services?service=web", "", "Unknown parameter: service"),
    *(
        (f"{UP}&{name}=true", "", f"Unknown parameter: {name}, did you mean dry_run?")
        for name in ("dryRun", "dry-run", "dryrun", "DRY_RUN", "dry_rn", "drun")
    ),
    ("/v1/pause?dry_run=true", "", "Incorrect dry_run: true (there is no dry run of that)"),
    *(
        (f"{UP}&dry_run={value}", "", f"Incorrect dry_run: {value}, dry_run can only be true or false")
        for value in ("", "1", "yes", "True", "TRUE")
    ),
    (f"{UP}&dry_run=false&dry_run=true", "", "dry_run is given 2 times in the query"),
    *(
        (UP, body, "dry_run: a dry run is asked for with dry_run=true in the query, ")
        for body in ('{"dry_run": true}', '{"groupLabels": {"dry_run": 1}}', '{"commonLabels": {"dry_run": false}}')
    ),
    (UP, '{"dryRun": true}', "dryRun: a dry run is asked for with dry_run=true in the query, "),
    (f"{UP}&reason={'r' * 1001}", "", "Incorrect reason: rrr"),
    *(
        (f"/v1/pause?for={value}", "", f"Incorrect for: {value} (must be a number of seconds above 0, at most 2592000)")
        for value in ("0", "-1", "abc", "2592001", "1e3", "nan")
    ),
    ("/v1/pause?fr=60", "", "Unknown parameter: fr, did you mean for? (known here: for, wait, reason, dry_run)"),
    ("/v1/resume?for=60", "", "Unknown parameter: for"),
    (f"{UP}&type=manager", "", "type is given 2 times in the query"),
    (f"{UP}&by=1&by=1", "", "by is given 2 times in the query"),
    (f"{UP}&wait=1&wait=1", "", "wait is given 2 times in the query"),
    *(
        (f"{UP}&wait={wait}", "", f"Incorrect wait: {wait}, wait can only be a number of seconds from 0 to 900")
        for wait in ("-1", "901", "abc", "nan", "inf", "1e2", "1_0")
    ),
    (UP, "{", "The body is not valid JSON"),
    (UP, "scale=up", "The body is not valid JSON"),
    (UP, "[]", "The body must be a JSON object, not an array"),
    (UP, "null", "The body must be a JSON object, not null"),
    (UP, '"up"', "The body must be a JSON object, not a string"),
    (UP, '{"groupLabels": NaN}', "The body is not valid JSON"),
    (UP, b"\xff\xfe", "The body is not valid UTF-8"),
    (UP, '{"groupLabels": "\\ud800"}', "Incorrect groupLabels in the body: must be an object"),
    (UP, '{"groupLabels": []}', "Incorrect groupLabels in the body: must be an object"),
    (UP, '{"commonLabels": "up"}', "Incorrect commonLabels in the body: must be an object"),
    (UP, '{"status": 5}', "Incorrect status in the body: must be a string"),
    (UP, '{"groupKey": 5}', "Incorrect groupKey in the body: must be a string"),
    (UP, '{"alerts": {}}', "Incorrect alerts in the body: must be an array"),
    (UP, '{"alerts": [{"fingerprint": 5}]}', "Incorrect alerts.0.fingerprint in the body: must be a string"),
    (UP, '{"alerts": ["x"]}', "Incorrect alerts.0 in the body: must be an object"),
    (UP, "[" * 100_000, "The body is not valid JSON"),
    (f"{UP}&service=%ff", "", "The query is not valid UTF-8"),
    (f"{UP}&service={'s' * 256}", "", "Incorrect service"),
    (UP, '{"groupLabels": {"service": 5}}', "Incorrect service: 5"),
]


@pytest.mark.parametrize(("path", "body", "message"), BAD)
async def test_what_can_never_be_valid_is_400_and_alertmanager_is_told(
    service: Service, path: str, body: str | bytes, message: str
) -> None:
    answer = await service.post(path, body)
    assert (answer.code, answer.json["status"]) == (400, "NOK")
    assert answer.message.startswith(message)
    assert service.inbox.messages == []
    [alert] = service.alerts.told
    assert (alert.service, alert.status, alert.request) == ("bad_request", "error", "Incorrect request")
    assert alert.summary == answer.message


@pytest.mark.parametrize(
    ("action", "alertname"),
    [
        ("scale-nodes", "scale_nodes"),
        ("scale-service", "scale_service"),
        ("reschedule-services", "reschedule_service"),
        ("reschedule-service", "reschedule_service"),
    ],
)
async def test_alertmanager_is_told_under_the_actions_name(service: Service, action: str, alertname: str) -> None:
    await service.post(f"/v1/{action}", "not JSON")
    assert [alert.alertname for alert in service.alerts.told] == [alertname]


@pytest.mark.parametrize(
    ("path", "name", "example"),
    [
        ("/v1/scale-nodes?type=worker", "scale", "/v1/scale-nodes?scale=up"),
        ("/v1/scale-nodes?scale=up", "type", "/v1/scale-nodes?type=worker"),
        ("/v1/scale-service?scale=up", "service", "/v1/scale-service?service=web"),
        ("/v1/scale-service?service=web&scale=x", "scale", "/v1/scale-service?scale=up"),
        (f"{UP}&by=x", "by", "/v1/scale-nodes?by=1"),
    ],
)
async def test_the_answer_tells_how_to_give_what_is_missing_or_wrong(
    service: Service, path: str, name: str, example: str
) -> None:
    hint = (await service.post(path)).json["hint"]
    assert hint == (
        f"Give {name} in the query, as in {example}, or as the label {name} of groupLabels or commonLabels in the body"
    )


async def test_where_there_is_nothing_to_advise_there_is_no_hint(service: Service) -> None:
    assert "hint" not in (await service.post(UP, "not JSON")).json


async def test_a_dry_run_that_is_not_wanted_is_none(service: Service) -> None:
    assert (await service.post(f"{UP}&dry_run=false")).code == 202


async def test_an_alertmanager_that_fails_changes_nothing(service: Service) -> None:
    service.alerts.failure = Unavailable("Alertmanager: no answer in time")
    answer = await service.post("/v1/scale-nodes")
    assert (answer.code, answer.message) == (400, "No scale direction")
    assert [longest.total_seconds() for longest in service.alerts.longest] == [1.0]


async def test_a_key_that_is_too_long_is_400(service: Service) -> None:
    assert (await service.post(UP, headers={"Idempotency-Key": "k" * 513})).code == 400
    assert (await service.post(UP, headers={"Idempotency-Key": "é" * 512})).code == 202
    assert len(service.inbox.messages) == 1


# --- 404, 405 -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1", "/v1/nope", "/scaler/v1/ping", "/v1/requests/a/b", "/favicon.ico", "/v2/ping"])
async def test_unknown_routes_are_404(service: Service, path: str) -> None:
    answer = await service.get(path)
    assert (answer.code, answer.json["status"]) == (404, "NOK")
    assert answer.message == "There is no such route; GET /docs says which there are"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/v1/scale-nodes", "POST"),
        ("PUT", "/v1/scale-service", "POST"),
        ("DELETE", "/v1/reschedule-services", "POST"),
        ("POST", "/v1/ping", "GET"),
        ("POST", "/v1/requests", "GET"),
        ("DELETE", "/v1/requests/x", "GET"),
        ("POST", "/metrics", "GET"),
    ],
)
async def test_wrong_methods_are_405(service: Service, method: str, path: str, allowed: str) -> None:
    answer = await service.ask(method, path)
    assert (answer.code, answer.json["status"]) == (405, "NOK")
    assert allowed in answer.headers["Allow"]


@pytest.mark.parametrize("route", ["drain-node", "replace-node"])
async def test_a_request_about_a_node_names_it(service: Service, route: str) -> None:
    answer = await service.post(f"/v1/{route}")
    assert (answer.code, answer.json["message"]) == (400, "No node name in request")
    assert (await service.post(f"/v1/{route}?node=ip-10-0-3-12")).code == 202
    assert service.inbox.messages[-1]["node"] == "ip-10-0-3-12"


async def test_whether_a_node_is_given_back_is_true_or_false(service: Service) -> None:
    answer = await service.post("/v1/drain-node?node=n&back=yes")
    assert (answer.code, answer.json["message"]) == (400, "Incorrect back: yes (can only be true or false)")
    assert (await service.post("/v1/drain-node?node=n&back=true")).code == 202
    assert service.inbox.messages[-1]["back"] is True


@pytest.mark.parametrize("backend", ["none", ""])
async def test_nodes_are_drained_but_not_replaced_while_the_backend_is_none(backend: str) -> None:
    async with serving({"NODE_SCALER_BACKEND": backend}) as service:
        assert (await service.post("/v1/replace-node?node=n")).code == 404
        assert (await service.post("/v1/drain-node?node=n")).code == 202


@pytest.mark.parametrize("backend", ["none", ""])
async def test_scale_nodes_is_404_while_its_backend_is_none(backend: str) -> None:
    async with serving({"NODE_SCALER_BACKEND": backend}) as service:
        answer = await service.post(UP)
        assert answer.code == 404
        assert "NODE_SCALER_BACKEND" in answer.message
        assert (await service.post("/v1/reschedule-services")).code == 202
        assert len(service.inbox.messages) == 1


# --- 503 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", [Unavailable("SQS: ServiceUnavailable"), Refused("SQS: AccessDenied")])
async def test_what_the_queue_did_not_confirm_is_503(service: Service, failure: Unavailable | Refused) -> None:
    service.inbox.failure = failure
    answer = await service.post(UP)
    assert (answer.code, answer.json["status"]) == (503, "NOK")
    assert str(failure) in answer.message


# --- GET --------------------------------------------------------------------------------------------------------


async def test_a_record_is_shown_with_the_unknown_fields_of_its_message(service: Service) -> None:
    service.journal.write(record("r1", message="done", nodes_before=1, nodes_after=2, request={"colour": "red"}))
    shown = (await service.get("/v1/requests/r1")).json
    assert shown.items() >= {
        ("id", "r1"),
        ("state", "succeeded"),
        ("message", "done"),
        ("nodes_before", 1),
        ("nodes_after", 2),
        ("colour", "red"),
        ("requested_at", "2026-11-22T12:00:00.000Z"),
    }
    assert shown.keys() >= {"step", "steps", "started_at", "ended_at", "source", "action", "scale", "type", "by"}


@pytest.mark.parametrize("name", ["absent", "%20", "%00", "%ff", "x" * 2000, "é" * 300])
async def test_a_request_that_no_worker_has_taken_is_404_and_says_so(service: Service, name: str) -> None:
    answer = await service.get(f"/v1/requests/{name}")
    assert answer.code == 404
    assert "no worker has taken it yet" in answer.message


async def test_an_id_may_be_any_text(service: Service) -> None:
    service.journal.write(record("a/b c?d%e"))
    assert (await service.get("/v1/requests/a%2Fb%20c%3Fd%25e")).code == 200


async def test_requests_are_listed_newest_first(service: Service) -> None:
    for minute in range(30):
        moment = record("x").requested_at.replace(minute=minute)
        service.journal.write(record(f"r{minute}", requested_at=moment))
    shown = [item["id"] for item in (await service.get("/v1/requests")).json["requests"]]
    assert shown == [f"r{minute}" for minute in range(29, 9, -1)]
    assert len((await service.get("/v1/requests?limit=3")).json["requests"]) == 3
    assert len((await service.get("/v1/requests?limit=100")).json["requests"]) == 30


async def test_requests_in_one_state_are_listed(service: Service) -> None:
    for number, state in enumerate(State):
        moment = record("x").requested_at.replace(minute=number)
        service.journal.write(record(f"old-{state}", state, requested_at=moment))
        service.journal.write(record(f"new-{state}", state, requested_at=moment.replace(second=1)))
    for state in State:
        shown = (await service.get(f"/v1/requests?state={state}")).json["requests"]
        assert [item["id"] for item in shown] == [f"new-{state}", f"old-{state}"]
    assert len((await service.get("/v1/requests?state=failed&limit=1")).json["requests"]) == 1
    assert len((await service.get("/v1/requests?state=")).json["requests"]) == 2 * len(State)


@pytest.mark.parametrize("query", ["state=done", "state=failed&state=failed", "stat=failed", "wait=5"])
async def test_a_wrong_state_or_parameter_is_400(service: Service, query: str) -> None:
    assert (await service.get(f"/v1/requests?{query}")).code == 400
    assert (await service.get(f"/v1/requests/x?{query}")).code == 400
    assert service.alerts.told == []


@pytest.mark.parametrize("limit", ["0", "101", "-1", "x", "1.5", "٣", "9" * 30, "5&limit=5"])
async def test_a_wrong_limit_is_400_and_no_ones_alert(service: Service, limit: str) -> None:
    assert (await service.get(f"/v1/requests?limit={limit}")).code == 400
    assert service.alerts.told == []


async def test_a_journal_that_cannot_be_read_is_503(service: Service) -> None:
    service.journal.failure = Unavailable("DynamoDB: no answer in time")
    for path in ("/v1/requests/x", "/v1/requests"):
        answer = await service.get(path)
        assert (answer.code, answer.message) == (503, "DynamoDB: no answer in time")


async def test_ping_and_healthz_are_200_whatever_happens(service: Service) -> None:
    service.inbox.failure = service.journal.failure = Unavailable("all is lost")
    for path in ("/v1/ping", "/healthz"):
        assert (await service.get(path)).code == 200
        assert (await service.ask("HEAD", path)).code == 200


async def test_readyz_follows_the_queue(service: Service) -> None:
    assert (await service.get("/readyz")).code == 200
    service.inbox.failure = Unavailable("SQS: no answer in time")
    answer = await service.get("/readyz")
    assert (answer.code, answer.message) == (503, "SQS: no answer in time")


async def test_metrics_count_answers_by_route_and_code(service: Service) -> None:
    await service.post(UP)
    await service.post("/v1/scale-nodes")
    await service.get("/v1/requests/some-id")
    await service.get("/nope/123")
    service.inbox.failure = Unavailable("no")
    await service.post(UP)
    answer = await service.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for line in (
        'scaler_http_requests_total{code="202",route="/v1/scale-nodes"} 1.0',
        'scaler_http_requests_total{code="400",route="/v1/scale-nodes"} 1.0',
        'scaler_http_requests_total{code="503",route="/v1/scale-nodes"} 1.0',
        'scaler_http_requests_total{code="404",route="/v1/requests/<request_id:str>"} 1.0',
        'scaler_http_requests_total{code="404",route="unknown"} 1.0',
        'scaler_http_request_seconds_count{route="/v1/scale-nodes"} 3.0',
        'scaler_bad_requests_total{action="scale-nodes"} 1.0',
        'scaler_bad_requests_total{action="scale-service"} 0.0',
        "scaler_auth_failures_total 0.0",
        "scaler_queue_send_failures_total 1.0",
        "scaler_http_waiting 0.0",
    ):
        assert line in answer.text.splitlines()


# --- prefix, token ------------------------------------------------------------------------------------------------

TOKEN = {"Authorization": "Bearer correct horse"}


async def test_v1_exists_below_the_prefix_and_without_it(prefixed: Service) -> None:
    for prefix in ("", "/scaler"):
        answer = await prefixed.post(f"{prefix}{UP}", headers=TOKEN)
        assert answer.code == 202
        assert answer.headers["Location"] == f"{prefix}/v1/requests/{answer.json['id']}"
        prefixed.journal.write(record(answer.json["id"]))
        assert (await prefixed.get(answer.headers["Location"], headers=TOKEN)).json["id"] == answer.json["id"]
        assert (await prefixed.get(f"{prefix}/v1/ping")).code == 200


async def test_all_routes_but_metrics_exist_below_the_prefix_too(prefixed: Service) -> None:
    for path in ("/healthz", "/readyz", "/docs", "/docs/openapi.json", "/v1/requests", "/v1/status"):
        for prefix in ("", "/scaler"):
            assert (await prefixed.get(f"{prefix}{path}", headers=TOKEN)).code == 200
    assert (await prefixed.get("/metrics", headers=TOKEN)).code == 200
    assert (await prefixed.get("/scaler/metrics", headers=TOKEN)).code == 404


OPEN = {"v1/ping", "healthz"}


def guarded(service: Service) -> list[tuple[str, str]]:
    """Method and path of each of the app's own routes, prefix or not, but for those that are open to all."""
    routes = [
        (method, route.path)
        for route in service.app.router.routes
        for method in route.methods
        if route.path.removeprefix("scaler/") not in OPEN
    ]
    assert len(routes) > 20
    return [(method, "/" + path.replace("<request_id:str>", "x")) for method, path in routes]


@pytest.mark.parametrize(
    "shown",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Bearer correct hors",
        "Bearer correct horse2",
        "Basic",
        "Basic !!!",
        "Basic eDp3cm9uZw==",
        "Digest correct horse",
        "correct horse",
        "Bearer caf\udcff",
    ],
)
async def test_without_the_token_nothing_is_done(prefixed: Service, shown: str | None) -> None:
    headers = {} if shown is None else {"Authorization": shown}
    for method, path in guarded(prefixed):
        answer = await prefixed.ask(method, path, headers=headers)
        assert answer.code == 401
        assert method == "HEAD" or answer.json["status"] == "NOK"
        assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert prefixed.inbox.messages == []


@pytest.mark.parametrize(
    "shown",
    [
        "Bearer correct horse",
        "bearer correct horse",
        "Basic eDpjb3JyZWN0IGhvcnNl",  # x:correct horse
        "basic OmNvcnJlY3QgaG9yc2U=",  # :correct horse
    ],
)
async def test_with_the_token_all_is_done(prefixed: Service, shown: str) -> None:
    assert (await prefixed.post(UP, headers={"Authorization": shown})).code == 202
    assert (await prefixed.get("/readyz", headers={"Authorization": shown})).code == 200


async def test_ping_and_healthz_want_no_token(prefixed: Service) -> None:
    for path in ("/v1/ping", "/scaler/v1/ping", "/healthz"):
        assert (await prefixed.get(path)).code == 200


async def test_who_is_not_let_in_is_logged_and_counted_without_secrets(
    prefixed: Service, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in ("/v1/requests?limit=sesame", "/scaler/docs"):
        assert (
            await prefixed.get(path, headers={"Authorization": "Basic b3BlbjpzZXNhbWU="})
        ).code == 401  # open:sesame
    assert "scaler_auth_failures_total 2.0" in (await prefixed.get("/metrics", headers=TOKEN)).text
    said = caplog.text + capsys.readouterr().out
    assert said.count("auth_failed") == 2
    for word in ("127.0.0.1", "/v1/requests", "/scaler/docs"):
        assert word in said
    for secret in ("sesame", "b3BlbjpzZXNhbWU", "correct horse"):
        assert secret not in said


# --- other sites ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://scaler:8081", "Host": "scaler:8080"},
        {"Origin": "http://scaler:nope", "Host": "scaler"},
        {"Origin": "https://scaler", "Host": "scaler:80"},
        {"Origin": "http://scaler.evil.example", "Host": "scaler"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://scaler", "Host": "scaler"},
    ],
)
async def test_what_the_page_of_another_site_posts_is_403_token_or_not(
    prefixed: Service, headers: dict[str, str]
) -> None:
    for token in (TOKEN, {}):
        for prefix in ("", "/scaler"):
            answer = await prefixed.post(f"{prefix}{UP}", headers={**headers, **token})
            assert (answer.code, answer.json["status"]) == (403, "NOK")
    assert prefixed.inbox.messages == []
    assert (await prefixed.get("/v1/requests", headers={**headers, **TOKEN})).code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://scaler:8080", "Host": "scaler:8080"},
        {"Origin": "http://SCALER", "Host": "scaler:80"},
        {"Origin": "https://scaler", "Host": "scaler"},
        {"Origin": "https://scaler:443", "Host": "scaler"},
        {"Origin": "http://[::1]:8080", "Host": "[::1]:8080"},
    ],
)
async def test_what_the_own_page_posts_is_done(service: Service, headers: dict[str, str]) -> None:
    assert (await service.post(UP, headers=headers)).code == 202


# --- who asked, and why ---------------------------------------------------------------------------------------------


async def test_who_asked_and_why_go_with_the_message(prefixed: Service) -> None:
    login = {"Authorization": "Basic YW5uOmNvcnJlY3QgaG9yc2U=", "X-Forwarded-For": "192.0.2.7"}  # ann:correct horse
    body = {**payload("tutorial_firing"), "receiver": "scaler"}
    await prefixed.post("/v1/scale-nodes?type=worker&reason=launch+day", body, headers=login)
    [message] = prefixed.inbox.messages
    assert message["reason"] == "launch day"
    assert message["asked_by"] == {
        "alerts": [alert["labels"]["alertname"] for alert in body["alerts"]],
        "receiver": "scaler",
        "group": body["groupKey"],
        "address": "127.0.0.1",
        "forwarded_for": "192.0.2.7",
        "user": "ann",
    }


@pytest.mark.parametrize("name", ["correct horse:", "correct horse:correct horse", ":correct horse"])
async def test_the_token_is_nobodys_name(prefixed: Service, name: str) -> None:
    token = base64.b64encode(name.encode()).decode()
    await prefixed.post(UP, headers={"Authorization": f"Basic {token}"})
    assert "horse" not in str(prefixed.inbox.messages)


async def test_a_name_without_a_password_may_be_a_secret(service: Service) -> None:
    for login in ("c2VjcmV0Og==", "c2VjcmV0"):  # secret:, secret
        await service.post(UP, headers={"Authorization": f"Basic {login}"})
    await service.post(UP, headers={"Authorization": "Bearer secret"})
    assert "secret" not in str(service.inbox.messages)
    assert len(service.inbox.messages) == 3


async def test_what_is_known_of_callers_is_short_and_one_line_and_never_an_error(service: Service) -> None:
    alerts = [{"labels": {"alertname": f"{number}{'n' * 1000}"}} for number in range(50)]
    strange = {"alerts": [{"labels": 5}, {"labels": {"alertname": ["x"]}}, *alerts], "receiver": {"a": "b"}}
    headers = {"X-Forwarded-For": "f" * 1000 + "\udcff"}
    await service.post(UP, {**strange, "groupKey": "g\n" * 1000}, headers=headers)
    [message] = service.inbox.messages
    assert len(message["asked_by"]["alerts"]) == 10
    assert "receiver" not in message["asked_by"]
    assert len(str(message["asked_by"])) < 3000
    assert "\\n" not in str(message["asked_by"])


# --- duplicates ---------------------------------------------------------------------------------------------------


async def test_the_callers_key_goes_with_the_message_and_wins_over_alertmanagers(service: Service) -> None:
    bodies: list[Any] = [{}, payload("tutorial_firing")]
    for body in bodies:
        await service.post(UP, body, headers={"Idempotency-Key": "key-1"})
    assert [message["idempotency_key"] for message in service.inbox.messages] == ["key-1", "key-1"]
    assert not any("dedup_key" in message for message in service.inbox.messages)
    assert len({message["id"] for message in service.inbox.messages}) == 2


async def test_a_delivery_that_comes_again_has_the_same_key(service: Service) -> None:
    for name in ("tutorial_firing", "tutorial_repeated"):
        assert (await service.post("/v1/scale-nodes?type=worker", payload(name))).code == 202
    first, second = service.inbox.messages
    assert first["dedup_key"] == second["dedup_key"]


async def test_bare_curl_requests_are_never_duplicates(service: Service) -> None:
    for _ in range(2):
        await service.post("/v1/scale-nodes?type=worker", {"groupLabels": {"scale": "up"}})
    for message in service.inbox.messages:
        assert not message.keys() & {"dedup_key", "idempotency_key"}


# --- real payloads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "query", "code"),
    [
        ("tutorial_firing", "type=worker", 202),
        ("tutorial_firing", "", 400),  # the label says `node`
        ("tutorial_repeated", "type=worker", 202),
        ("tutorial_resolved", "type=worker", 200),
        ("two_alerts_firing", "type=worker&scale=up", 202),
        ("two_alerts_firing", "type=worker", 400),
        ("one_of_two_resolved", "type=worker&scale=up", 202),
        ("slack", "type=worker", 400),
        ("slack", "type=worker&scale=down", 202),
    ],
)
async def test_what_real_alertmanagers_send(service: Service, name: str, query: str, code: int) -> None:
    assert (await service.post(f"/v1/scale-nodes?{query}", payload(name))).code == code
    assert len(service.inbox.messages) == (code == 202)


async def test_the_summary_is_cut(service: Service) -> None:
    body: dict[str, Any] = payload("tutorial_firing")
    body["commonAnnotations"]["summary"] = "m" * 1000
    await service.post("/v1/scale-nodes?type=worker", body)
    assert service.inbox.messages[0]["reason"] == "m" * 200


# --- waiting (the poller itself: test_outcomes) -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "code", "status"), [(State.SUCCEEDED, 200, "OK"), (State.SKIPPED, 200, "OK"), (State.FAILED, 500, "NOK")]
)
@pytest.mark.parametrize("how", ["query", "header", "default"])
async def test_with_wait_the_answer_is_the_outcome(state: State, code: int, status: str, how: str) -> None:
    async with serving({"DEFAULT_WAIT": "30"} if how == "default" else {}) as service:
        service.inbox.on_send = lambda message: void(service.journal.write(record(message["id"], state, "the end")))
        query, headers = ("&wait=30" if how == "query" else ""), ({"Prefer": "wait=30"} if how == "header" else {})
        answer = await service.post(UP + query, headers=headers)
        [message] = service.inbox.messages
        assert (answer.code, answer.json) == (code, {"status": status, "message": "the end", "id": message["id"]})
        assert answer.headers["Location"].endswith(message["id"])


async def test_a_duplicate_that_waits_is_answered_with_the_first_ones_outcome_and_says_so(service: Service) -> None:
    service.journal.write(record("first", State.FAILED, "no room"))

    def skip(message: dict[str, Any]) -> None:
        words = "Duplicate of request first"
        service.journal.write(record(message["id"], State.SKIPPED, words, duplicate_of="first"))

    service.inbox.on_send = skip
    answer = await service.post(f"{UP}&wait=30")
    assert (answer.code, answer.message) == (500, "Duplicate of request first: no room")
    assert answer.json["id"] == service.inbox.messages[0]["id"]


async def test_what_has_not_ended_in_time_is_202(service: Service) -> None:
    service.inbox.on_send = lambda message: void(service.journal.write(record(message["id"], State.RUNNING)))
    answer = await service.post(f"{UP}&wait=0.05")
    assert (answer.code, answer.message) == (202, "Queued (not ended within 0.05 seconds)")


async def test_the_query_wins_over_the_header_over_the_default() -> None:
    async with serving({"DEFAULT_WAIT": "900"}) as service:
        assert (await service.post(f"{UP}&wait=0", headers={"Prefer": "wait=900"})).message == "Queued"
        assert (await service.post(UP, headers={"Prefer": "wait=0"})).message == "Queued"


async def test_a_preference_that_makes_no_sense_is_ignored(service: Service) -> None:
    for preference in ("wait=abc", "wait=-1", "wait", "wait=99999", "respond-async", "wait=caf\udcff"):
        assert (await service.post(UP, headers={"Prefer": preference})).message == "Queued"


def void(_value: object) -> None:
    """Nothing, of a value that is in the way."""


# --- Steering ---------------------------------------------------------------------------------------------------


async def test_a_pause_is_queued_with_its_seconds_and_its_reason(service: Service) -> None:
    assert (await service.post("/v1/pause?for=7200&reason=maintenance")).code == 202
    assert (await service.post("/v1/pause")).code == 202
    assert (await service.post("/v1/resume")).code == 202
    first, second, third = service.inbox.messages
    assert (first["action"], first["for"], first["reason"]) == ("pause", 7200, "maintenance")
    assert ("for" in second, third["action"]) == (False, "resume")


async def test_a_cancel_is_queued_with_the_id_of_its_path(prefixed: Service) -> None:
    prefixed.journal.write(record("up-1", State.RUNNING))
    headers = {"Authorization": "Bearer correct horse"}
    answer = await prefixed.post("/scaler/v1/requests/up-1/cancel?reason=wrong+alert", headers=headers)
    assert answer.code == 202
    [message] = prefixed.inbox.messages
    assert (message["action"], message["request"], message["reason"]) == ("cancel", "up-1", "wrong alert")
    assert answer.headers["Location"] == f"/scaler/v1/requests/{message['id']}"


@pytest.mark.parametrize(
    ("present", "code", "message"),
    [
        (None, 404, "There is no such request, or no worker has taken it yet"),
        (record("r", State.FAILED), 409, "Request r (scale-nodes) has ended already: failed"),
        (
            record("r", State.RUNNING, step="reschedule"),
            409,
            "Request r (scale-nodes) can be cancelled no more: it is at the step reschedule",
        ),
        (
            record("r", State.RUNNING, step="terminate", plan={"intent": {"instance_id": "i-1"}}),
            409,
            "Request r (scale-nodes) can be cancelled no more: a node of it has been terminated, or is about to be",
        ),
        (record("r", State.QUEUED, action="resume"), 409, "Request r (resume) is of a kind that cannot be cancelled"),
    ],
)
async def test_what_cannot_be_cancelled_is_answered_at_once(
    service: Service, present: Record | None, code: int, message: str
) -> None:
    if present is not None:
        service.journal.write(present)
    answer = await service.post("/v1/requests/r/cancel")
    assert (answer.code, answer.json["status"], answer.message) == (code, "NOK", message)
    assert service.inbox.messages == []


@pytest.mark.parametrize("step", [None, "plan", "wait", "drain", "terminate"])
async def test_what_is_being_cancelled_or_has_not_come_too_far_can_be(service: Service, step: str | None) -> None:
    service.journal.write(record("r", State.RUNNING, step=step))
    service.journal.write(record("s", State.RUNNING, step="undo", cancelled={"request": "c"}))
    for request in ("r", "s"):
        assert (await service.post(f"/v1/requests/{request}/cancel")).code == 202


async def test_a_dry_run_is_queued_as_one_that_no_older_worker_does(service: Service) -> None:
    assert (await service.post(f"{UP}&dry_run=true")).code == 202
    assert (await service.post(f"{UP}&dry_run=false")).code == 202
    dry, real = service.inbox.messages
    assert (dry["dry_run"], dry["version"]) == (True, 2)
    assert ("dry_run" in real, real["version"]) == (False, 1)
