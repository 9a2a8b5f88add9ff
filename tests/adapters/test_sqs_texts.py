"""What SQS takes of a body and of a reason."""

from hypothesis import given
from hypothesis import strategies as st

from worker.adapters.sqs import MAX_ERROR_BYTES, as_attribute, as_body


@given(st.text(), st.integers(min_value=0, max_value=200))
def test_a_cut_body_is_the_beginning_of_it_and_as_long_as_fits(text: str, room: int) -> None:
    clean, cut = as_body(text, 10_000), as_body(text, room)
    if cut not in {clean, "(empty)"}:
        assert clean.startswith(cut)
        assert room - 4 < len(cut.encode()) <= room


@given(st.text(), st.integers(min_value=0, max_value=5))
def test_a_body_is_never_empty(text: str, room: int) -> None:
    assert as_body(text, room)


@given(st.text(st.characters()))
def test_a_reason_is_never_empty_and_has_no_control_characters(text: str) -> None:
    reason = as_attribute(text)
    assert reason
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) < 0xA0 for character in reason)
    assert reason.encode().decode() == reason


def test_a_reason_leaves_most_of_the_message_to_the_body() -> None:
    assert len(as_attribute("é" * MAX_ERROR_BYTES).encode()) <= MAX_ERROR_BYTES
