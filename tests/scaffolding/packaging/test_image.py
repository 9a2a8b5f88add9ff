"""The images' content, without an engine: the packages each process gets are enough, and no more than it needs."""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from infra.local.aws import EmbeddedAws

ROOT: Final = Path(__file__).parents[3]
SITE: Final = Path(sysconfig.get_path("purelib"))
PROCESSES: Final = ("ingest", "worker", "rules")
TOGETHER: Final = {"ingest": ("ingest", "cli"), "worker": ("worker",), "rules": ("rules",)}
"""What is in the image of each process."""
OF_AWS: Final = ("ingest", "worker")
DOCKERFILE: Final = (ROOT / "Dockerfile").read_text()
MEGABYTE: Final = 2**20

# Only the standard library, what was gathered, and the project; as in the image, no site-packages.
IMPORTS: Final = """
import asyncio, importlib, importlib.util, pkgutil, sys
sys.path[:0] = [{site!r}, {root!r}]
for package in ("shared", *{packages!r}):
    for module in pkgutil.walk_packages([{root!r} + "/" + package], package + "."):
        importlib.import_module(module.name)
for absent in ("boto3", "moto", "pytest", "pip", {other!r}):
    assert importlib.util.find_spec(absent) is None, absent

async def call():
    from contextlib import AsyncExitStack
    from datetime import timedelta
    from shared.aws import open_client
    async with AsyncExitStack() as stack:
        async def client(service):
            return await open_client(stack, service, "us-east-1", read_timeout=timedelta(seconds=10))
        await (await client("sqs")).list_queues()
        await (await client("dynamodb")).list_tables()
        await (await client("autoscaling")).describe_auto_scaling_groups()
        await (await client("ec2")).describe_instances()
        await (await client("sts")).get_caller_identity()

asyncio.run(call())
"""


@pytest.fixture(scope="module")
def gathering() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gather", ROOT / "stacks" / "image" / "gather.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gathered(gathering: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, set[str]]]:
    folder = tmp_path_factory.mktemp("image")
    return {
        process: (
            folder / process,
            gathering.gather(ROOT / "pyproject.toml", SITE, folder / process, *TOGETHER[process]),
        )
        for process in PROCESSES
    }


@pytest.mark.parametrize(("process", "other"), [("ingest", "docker"), ("worker", "sanic")])
def test_every_module_can_be_imported_and_every_client_calls_with_what_was_gathered(
    gathered: dict[str, tuple[Path, set[str]]], aws: EmbeddedAws, process: str, other: str
) -> None:
    code = IMPORTS.format(site=str(gathered[process][0]), root=str(ROOT), packages=TOGETHER[process], other=other)
    environ = {**aws.environment, "PATH": os.environ["PATH"], "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        [sys.executable, "-S", "-B", "-c", code], env=environ, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("process", PROCESSES)
def test_the_packages_stay_small(gathered: dict[str, tuple[Path, set[str]]], process: str) -> None:
    size = sum(path.stat().st_size for path in gathered[process][0].rglob("*") if path.is_file())
    assert size < 60 * MEGABYTE


def test_rules_needs_nothing_of_aws(gathered: dict[str, tuple[Path, set[str]]]) -> None:
    folder, names = gathered["rules"]
    assert not {"aiobotocore", "botocore", "aiohttp", "docker", "sanic"} & names
    assert {"promql-parser", "google-re2", "pyyaml"} <= names
    code = f"""
import importlib, pkgutil, sys
sys.path[:0] = [{str(folder)!r}, {str(ROOT)!r}]
for module in pkgutil.walk_packages([{str(ROOT / "rules")!r}], "rules."):
    importlib.import_module(module.name)
"""
    command = [sys.executable, "-S", "-B", "-c", code]
    done = subprocess.run(command, env={}, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("process", OF_AWS)
def test_of_botocores_data_only_the_used_services_are_there_once_each(
    gathered: dict[str, tuple[Path, set[str]]], gathering: ModuleType, process: str
) -> None:
    data = gathered[process][0] / "botocore" / "data"
    assert {path.name for path in data.iterdir() if path.is_dir()} == gathering.SERVICES
    assert all(len(list(path.iterdir())) == 1 for path in data.iterdir() if path.is_dir())
    assert (data / "endpoints.json").is_file()


def test_each_process_gets_only_its_own(gathered: dict[str, tuple[Path, set[str]]]) -> None:
    ingest, worker = gathered["ingest"][1], gathered["worker"][1]
    assert "sanic" in ingest - worker
    assert "docker" in worker - ingest
    assert not {"boto3", "moto", "pytest", "pip"} & (ingest | worker)


def test_what_goes_into_the_image_is_in_the_lock_file(gathered: dict[str, tuple[Path, set[str]]]) -> None:
    locked = set(re.findall(r"^([a-z0-9._-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for _, names in gathered.values():
        assert names <= {re.sub(r"[-_.]+", "-", name) for name in locked}


def test_the_dockerfile_has_all_targets_runs_as_nobody_and_asks_for_health() -> None:
    stages = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)
    assert set(PROCESSES) <= {name for _, name in stages}
    assert {base for base, name in stages if name in PROCESSES} == {"runtime"}
    assert re.search(r"^USER 65532:65532$", DOCKERFILE, re.MULTILINE)
    asking = [name for _, name in stages if f"FROM runtime AS {name}\n" in DOCKERFILE]
    assert set(asking) == {*PROCESSES, "local"}
    assert DOCKERFILE.count("HEALTHCHECK --interval") == len(asking)


def test_the_base_is_a_build_argument_and_pinned() -> None:
    [base] = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE, re.MULTILINE)
    assert re.search(r":[0-9]+\.[0-9]+\.[0-9]+-", base)
    assert {one for one, _ in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)} == {
        *("${BASE}", "packages", "local-packages", "runtime"),
    }


def test_a_builder_that_makes_all_stages_before_the_one_it_is_asked_for_makes_no_more_than_the_processes_need() -> None:
    stages = [name for _, name in re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, re.MULTILINE)]
    assert max(stages.index(name) for name in PROCESSES) < stages.index("local-packages")


def test_nothing_is_compiled_from_source_and_every_package_is_checked_by_its_hash() -> None:
    install, for_trying = re.findall(r"pip install .*?(?=\nCOPY)", DOCKERFILE, re.DOTALL)
    assert "--only-binary :all:" in install
    assert "--no-binary" not in install
    assert re.findall(r"--no-binary (\S+)", for_trying) == ["localstack-client"], "there is no wheel of that one alone"
    assert "--require-hashes" in install
    assert "--require-hashes" in for_trying


def test_the_build_is_sent_what_it_copies() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = [line[1:] for line in lines if line.startswith("!")]
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    }
    for source in copied - {".wheel[s]"}:
        assert any(source == one or source.startswith(f"{one}/") or fnmatch.fnmatch(source, one) for one in sent), (
            source
        )
        assert (ROOT / source).exists()
