"""The templates before checkov, which looks for what is open or unencrypted: findings are mended or excused."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from infra.local.aws.templates import SCALER, SWARM

pytestmark = pytest.mark.slow

PROGRAM: Final = Path(__file__).parents[3] / ".checkov" / "bin" / "checkov"


@pytest.mark.parametrize("template", [SWARM, SCALER], ids=lambda path: path.name)
def test_every_finding_is_mended_or_has_its_reason_beside_the_resource(template: Path) -> None:
    assert PROGRAM.exists(), "run `make .checkov/.ready`"
    command = [str(PROGRAM), "--skip-download", "--compact", "-o", "json", "-f", str(template)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    results = json.loads(done.stdout)["results"]
    assert [(one["check_id"], one["resource"]) for one in results["failed_checks"]] == []
    assert results["passed_checks"]
    excuses = re.findall(r"# checkov:skip=CKV_\w+:(.*)", template.read_text())
    assert len(excuses) == len(results["skipped_checks"]), "an excuse that nothing needs any more"
    assert all(len(reason) > len("a reason") for reason in excuses)
