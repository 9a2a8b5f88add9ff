"""DynamoDB as the lease and the journal need it: conditional writes that are atomic, consistent sparse indexes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from localstack_client.session import Session

WRITERS = 50
ROUNDS = 6


@pytest.fixture(scope="module")
def table(dynamodb: Any, unique: Callable[[str], str]) -> str:
    """A table with the keys and indexes of scaler.yaml."""
    name = unique("table")
    dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": key, "AttributeType": "S"} for key in ("pk", "sk", "open_at", "listed_at")
        ],
        KeySchema=_keys("sk"),
        LocalSecondaryIndexes=[
            {"IndexName": "open", "KeySchema": _keys("open_at"), "Projection": {"ProjectionType": "ALL"}},
            {"IndexName": "by-time", "KeySchema": _keys("listed_at"), "Projection": {"ProjectionType": "ALL"}},
        ],
    )
    dynamodb.get_waiter("table_exists").wait(TableName=name)
    return name


def test_of_fifty_conditional_puts_exactly_one_wins(session: Session, table: str) -> None:
    client = session.client("dynamodb", config=Config(max_pool_connections=WRITERS))

    def put(writer: int, turn: int) -> bool:
        return _took(
            lambda: client.put_item(
                TableName=table,
                Item=_item("race", f"put-{turn}", owner=str(writer)),
                ConditionExpression="attribute_not_exists(pk)",
            )
        )

    with ThreadPoolExecutor(WRITERS) as pool:
        for turn in range(ROUNDS):
            won = list(pool.map(put, range(WRITERS), [turn] * WRITERS))
            assert won.count(True) == 1


def test_of_fifty_conditional_updates_exactly_one_takes_the_lease(session: Session, table: str) -> None:
    client = session.client("dynamodb", config=Config(max_pool_connections=WRITERS))
    client.put_item(TableName=table, Item=_item("race", "lease") | {"token": {"N": "0"}})

    def take(writer: int, token: int) -> bool:
        return _took(
            lambda: client.update_item(
                TableName=table,
                Key=_key("race", "lease"),
                UpdateExpression="SET #t = :next, #o = :me",
                ConditionExpression="#t = :seen",
                ExpressionAttributeNames={"#t": "token", "#o": "owner"},
                ExpressionAttributeValues={
                    ":next": {"N": str(token + 1)},
                    ":seen": {"N": str(token)},
                    ":me": {"S": str(writer)},
                },
            )
        )

    with ThreadPoolExecutor(WRITERS) as pool:
        for token in range(ROUNDS):
            won = list(pool.map(take, range(WRITERS), [token] * WRITERS))
            assert won.count(True) == 1
            lease = client.get_item(TableName=table, Key=_key("race", "lease"), ConsistentRead=True)["Item"]
            assert lease["owner"] == {"S": str(won.index(True))}


def test_fifty_transactions_at_once_lose_no_write_of_each_other(session: Session, table: str) -> None:
    client = session.client("dynamodb", config=Config(max_pool_connections=WRITERS))

    def write(writer: int) -> None:
        put = {"TableName": table, "Item": _item("transact", f"{writer:02}")}
        _took(lambda: client.transact_write_items(TransactItems=[{"Put": put}, *_failing(table, writer)]))

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    found = _query(client, table, "transact")
    assert [item["sk"]["S"] for item in found] == [f"{writer:02}" for writer in range(0, WRITERS, 2)]


def test_a_refused_write_hands_back_the_present_item(dynamodb: Any, table: str) -> None:
    dynamodb.put_item(TableName=table, Item=_item("present", "one", owner="first"))
    with pytest.raises(ClientError) as refused:
        dynamodb.put_item(
            TableName=table,
            Item=_item("present", "one", owner="second"),
            ConditionExpression="attribute_not_exists(pk)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
    assert refused.value.response["Error"]["Code"] == "ConditionalCheckFailedException"
    assert refused.value.response["Item"] == _item("present", "one", owner="first")


@pytest.mark.parametrize("call", ["update_item", "delete_item"])
def test_a_refused_update_or_delete_hands_back_the_present_item(dynamodb: Any, table: str, call: str) -> None:
    dynamodb.put_item(TableName=table, Item=_item("present", call, owner="first"))
    change = {"UpdateExpression": "SET seen = :n"} if call == "update_item" else {}
    with pytest.raises(ClientError) as refused:
        getattr(dynamodb, call)(
            TableName=table,
            Key=_key("present", call),
            ConditionExpression="#o = :n",
            ExpressionAttributeNames={"#o": "owner"},
            ExpressionAttributeValues={":n": {"S": "nobody"}},
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
            **change,
        )
    assert refused.value.response["Item"] == _item("present", call, owner="first")


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("attribute_exists(pk) AND #n BETWEEN :one AND :nine", True),
        ("#n > :nine OR (#o = :me AND NOT attribute_exists(gone))", True),
        ("#o IN (:me, :you) AND size(#o) = :two", True),
        ("begins_with(#o, :m) AND #n <> :one", True),
        ("contains(#l, :me)", True),
        ("#n < :one", False),
        ("attribute_type(#n, :s)", False),
        ("attribute_not_exists(#o) OR #n >= :nine", False),
    ],
)
def test_conditions_mean_what_they_say(dynamodb: Any, table: str, condition: str, holds: bool) -> None:
    names = {"#n": "number", "#o": "owner", "#l": "list"}
    values = {
        ":one": {"N": "1"},
        ":two": {"N": "2"},
        ":nine": {"N": "9"},
        ":me": {"S": "me"},
        ":you": {"S": "you"},
        ":m": {"S": "m"},
        ":s": {"S": "S"},
    }
    item = _item("conditions", "one", owner="me") | {"number": {"N": "5"}, "list": {"L": [{"S": "me"}]}}
    dynamodb.put_item(TableName=table, Item=item)
    put = {
        "TableName": table,
        "Item": item,
        "ConditionExpression": condition,
        "ExpressionAttributeNames": {key: name for key, name in names.items() if key in condition},
        "ExpressionAttributeValues": {key: value for key, value in values.items() if _mentions(condition, key)},
    }
    assert _took(lambda: dynamodb.put_item(**put)) is holds


def test_sparse_indexes_hold_only_items_with_their_attribute(dynamodb: Any, table: str) -> None:
    pk = "sparse"
    dynamodb.put_item(TableName=table, Item=_item(pk, "a", open_at="2026-1", listed_at="2026-1"))
    dynamodb.put_item(TableName=table, Item=_item(pk, "b", listed_at="2026-2"))
    dynamodb.put_item(TableName=table, Item=_item(pk, "c"))
    assert _sort_keys(_query(dynamodb, table, pk, IndexName="open")) == ["a"]
    assert _sort_keys(_query(dynamodb, table, pk, IndexName="by-time")) == ["a", "b"]
    assert _sort_keys(_query(dynamodb, table, pk)) == ["a", "b", "c"]


def test_an_item_leaves_a_sparse_index_with_its_attribute(dynamodb: Any, table: str) -> None:
    dynamodb.put_item(TableName=table, Item=_item("leave", "a", open_at="2026"))
    dynamodb.update_item(
        TableName=table,
        Key=_key("leave", "a"),
        UpdateExpression="REMOVE open_at SET done = :t",
        ExpressionAttributeValues={":t": {"BOOL": True}},
    )
    assert _query(dynamodb, table, "leave", IndexName="open") == []
    dynamodb.update_item(
        TableName=table,
        Key=_key("leave", "a"),
        UpdateExpression="SET open_at = :t",
        ExpressionAttributeValues={":t": {"S": "2027"}},
    )
    assert _sort_keys(_query(dynamodb, table, "leave", IndexName="open")) == ["a"]


def test_an_index_is_read_backwards_in_pages(dynamodb: Any, table: str) -> None:
    for number in range(7):
        dynamodb.put_item(TableName=table, Item=_item("pages", f"{number * 5 % 7}", listed_at=f"2026-{number}"))
    first = dynamodb.query(**_asked(table, "pages", IndexName="by-time", ScanIndexForward=False, Limit=3))
    assert [item["listed_at"]["S"] for item in first["Items"]] == ["2026-6", "2026-5", "2026-4"]
    rest = dynamodb.query(
        **_asked(table, "pages", IndexName="by-time", ScanIndexForward=False),
        ExclusiveStartKey=first["LastEvaluatedKey"],
    )
    assert [item["listed_at"]["S"] for item in rest["Items"]] == ["2026-3", "2026-2", "2026-1", "2026-0"]


def test_begins_with_and_between_work_on_index_and_sort_key(dynamodb: Any, table: str) -> None:
    for sk, at in (("request#1", "2026-10"), ("request#2", "2026-11"), ("key#1", "2027-01")):
        dynamodb.put_item(TableName=table, Item=_item("begin", sk, listed_at=at))
    assert _sort_keys(_query(dynamodb, table, "begin", "begins_with(sk, :x)", "request#")) == ["request#1", "request#2"]
    found = _query(dynamodb, table, "begin", "begins_with(listed_at, :x)", "2026", IndexName="by-time")
    assert _sort_keys(found) == ["request#1", "request#2"]
    found = _query(dynamodb, table, "begin", "listed_at > :x", "2026-10", IndexName="by-time")
    assert _sort_keys(found) == ["request#2", "key#1"]


def test_equal_index_keys_are_all_there_once_over_pages(dynamodb: Any, table: str) -> None:
    for number in range(5):
        dynamodb.put_item(TableName=table, Item=_item("equal", str(number), listed_at="2026"))
    seen: list[str] = []
    start: dict[str, Any] = {}
    while True:
        page = dynamodb.query(**_asked(table, "equal", IndexName="by-time", Limit=2), **start)
        seen += _sort_keys(page["Items"])
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    assert sorted(seen) == ["0", "1", "2", "3", "4"]


def test_batch_get_reads_many_at_once(dynamodb: Any, table: str) -> None:
    for number in range(3):
        dynamodb.put_item(TableName=table, Item=_item("batch", str(number)))
    keys = [_key("batch", str(number)) for number in range(5)]
    found = dynamodb.batch_get_item(RequestItems={table: {"Keys": keys, "ConsistentRead": True}})
    assert sorted(_sort_keys(found["Responses"][table])) == ["0", "1", "2"]


def _keys(sort: str) -> list[dict[str, str]]:
    return [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": sort, "KeyType": "RANGE"}]


def _key(pk: str, sk: str) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": sk}}


def _item(pk: str, sk: str, **texts: str) -> dict[str, Any]:
    return _key(pk, sk) | {name: {"S": text} for name, text in texts.items()}


def _failing(table: str, writer: int) -> list[dict[str, Any]]:
    """For every second writer something that makes the whole transaction fail."""
    check = {
        "TableName": table,
        "Key": _key("transact", "never"),
        "ConditionExpression": "attribute_exists(pk)",
    }
    return [{"ConditionCheck": check}] if writer % 2 else []


def _took(write: Callable[[], Any]) -> bool:
    try:
        write()
    except ClientError as error:
        refused = ("ConditionalCheckFailedException", "TransactionCanceledException")
        if error.response["Error"]["Code"] in refused:
            return False
        raise
    return True


def _asked(table: str, pk: str, more: str = "", value: str = "", **options: Any) -> dict[str, Any]:
    condition = f"pk = :pk AND {more}" if more else "pk = :pk"
    values = {":pk": {"S": pk}} | ({":x": {"S": value}} if more else {})
    return {
        "TableName": table,
        "ConsistentRead": True,
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": values,
        **options,
    }


def _query(client: Any, table: str, pk: str, more: str = "", value: str = "", **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.query(**_asked(table, pk, more, value, **options))["Items"]
    return found


def _sort_keys(items: list[dict[str, Any]]) -> list[str]:
    return [item["sk"]["S"] for item in items]


def _mentions(condition: str, key: str) -> bool:
    return key in condition.replace("(", " ").replace(")", " ").replace(",", " ").split()
