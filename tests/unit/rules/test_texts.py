"""Lists of pairs, durations, shares, names: what is taken, what is not, and what people are told."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import texts
from rules.model import BadLabel


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        ("severity=high", {"severity": "high"}),
        ("severity=high,receiver=system", {"severity": "high", "receiver": "system"}),
        ("summary=a\\, b\\=c, d=e", {"summary": "a, b=c", "d": "e"}),
        ("url=http://x/?a=1&b=2", {"url": "http://x/?a=1&b=2"}),
        ("a=,b= c ", {"a": "", "b": " c "}),
        ("a=b,", {"a": "b"}),
        ("path=C:\\temp", {"path": "C:\\temp"}),
        ("summary=10: #1\nsecond line", {"summary": "10: #1\nsecond line"}),
    ],
)
def test_pairs(text: str, found: dict[str, str]) -> None:
    assert texts.pairs(text, "alertLabels") == found


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("severity", "alertLabels: 'severity' has no ="),
        ("summary=Memory is high, do something", "alertLabels: 'do something' has no =; a comma inside a value"),
        ("a-b=c", "alertLabels: 'a-b' is no name for a label"),
        ("=c", "alertLabels: '' is no name for a label"),
        ("__name__=c", "alertLabels: '__name__' is no name for a label"),
        ("a=b,a=c", "alertLabels: a is given twice"),
        ("a\\=b", "has no ="),
    ],
)
def test_pairs_that_are_none(text: str, reason: str) -> None:
    with pytest.raises(BadLabel) as caught:
        texts.pairs(text, "alertLabels")
    assert reason in str(caught.value)


_VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\\"))


@given(st.dictionaries(st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True), _VALUES, max_size=4))
def test_every_value_without_a_backslash_can_be_written(pairs: dict[str, str]) -> None:
    escaped = {key: value.replace(",", "\\,").replace("=", "\\=") for key, value in pairs.items()}
    assert texts.pairs(",".join(f"{key}={value}" for key, value in escaped.items()), "x") == pairs


@pytest.mark.parametrize("text", ["0", "30s", "5m", "1h30m", "1d", "2w", "1y", "500ms", " 30s "])
def test_durations(text: str) -> None:
    assert texts.duration(text, "alertFor") == text.strip()


@pytest.mark.parametrize("text", ["", "30", "30 s", "1m1h", "-5m", "1.5h", "5 minutes", "5M", "1s1s", "99999999y"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(BadLabel, match="alertFor"):
        texts.duration(text, "alertFor")


@pytest.mark.parametrize("text", ["95", "1.01", "-0.1", "", "95%", "0,9", "nan", "1e-1", "\u0660"])
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(BadLabel, match="write a number from 0 to 1"):
        texts.share(text, "alertIf")


@pytest.mark.parametrize(
    ("name", "mended"),
    [
        ("exporter_node-exporter-worker_mem-limit", "exporter_node_exporter_worker_mem_limit"),
        ("web.api_high load!", "web_api_high_load_"),
        ("a:b", "a:b"),
        ("1web_x", "_web_x"),
        ("wéb_x", "w_b_x"),
    ],
)
def test_a_rules_name_has_what_prometheus_takes_in_names(name: str, mended: str) -> None:
    assert texts.mended(name) == mended
