"""The tests."""

from pathlib import Path

import pytest

# A failed assertion of a helper shows its values, as one of a test does.
pytest.register_assert_rewrite(*(f"tests.{one.name}" for one in Path(__file__).parent.iterdir() if one.is_dir()))
