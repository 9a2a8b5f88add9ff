"""The set of careless changes, and how a sample is drawn."""

import subprocess
from pathlib import Path

import pytest

from tests.mutants.__main__ import FOLDER, ROOT, Mutant, copy_tree, drawn, tried, unchanged

PATCHES = sorted(FOLDER.glob("*.patch"))
MUTANTS = [Mutant.read(path) for path in PATCHES]


def test_there_are_forty_at_least_and_their_tests_exist() -> None:
    assert len(MUTANTS) >= 40
    assert not [(each.name, test) for each in MUTANTS for test in each.tests if not (ROOT / test).exists()]


def test_each_of_them_still_applies() -> None:
    command = ["git", "apply", "--check", "--unidiff-zero"]
    codes = [
        subprocess.run([*command, path], cwd=ROOT, capture_output=True, check=False).returncode for path in PATCHES
    ]
    broken = [path.name for path, code in zip(PATCHES, codes, strict=True) if code]
    assert broken == []


def test_a_test_that_fails_without_any_change_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_red.py").write_text("def test_red(): assert False\n")
    monkeypatch.setattr("tests.mutants.__main__.ROOT", tmp_path)
    monkeypatch.setattr("tests.mutants.__main__.COPIED", ("tests",))
    assert unchanged([Mutant("x", "something", ("tests/test_red.py",))]) == "tests/test_red.py::test_red"
    (tmp_path / "tests" / "test_red.py").write_text("def test_red(): pass\n")
    assert unchanged([Mutant("x", "something", ("tests/test_red.py",))]) is None


def test_a_sample_is_the_same_for_one_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLE", "10")
    first = drawn(MUTANTS)
    assert (len(first), first) == (10, drawn(list(reversed(MUTANTS))))


@pytest.mark.parametrize(("sample", "commit"), [("0", ""), ("ten", ""), ("10", "no-such-commit")])
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, sample: str, commit: str) -> None:
    monkeypatch.setenv("SAMPLE", sample)
    monkeypatch.setenv("FROM", commit)
    with pytest.raises(ValueError, match=r"SAMPLE=|FROM="):
        drawn(MUTANTS)


def test_a_patch_without_its_head_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.patch").write_text("What: something\n\n--- a/x\n")
    with pytest.raises(ValueError, match=r"x\.patch must begin"):
        Mutant.read(tmp_path / "x.patch")


def test_a_patch_that_does_not_apply_any_more_is_not_found_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.mutants.__main__.FOLDER", tmp_path)
    (tmp_path / "x.patch").write_text(
        "What: something\nTests: tests/unit\n\n--- a/shared/clock.py\n+++ b/shared/clock.py\n"
        "@@ -1,1 +1,1 @@\n-no such line\n+another\n"
    )
    monkeypatch.setattr("tests.mutants.__main__.COPIED", ("shared",))
    verdict = tried(Mutant("x", "something", ("tests/unit",)), copy_tree(tmp_path / "copy"))
    assert verdict.found_by is None
    assert "does not apply any more, refresh it" in verdict.trouble
