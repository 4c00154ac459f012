"""The house itself: who may import whom, how big a file may be, and that made documents and packages are right."""

import ast
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from openapi_spec_validator import validate

import daemon
from daemon.config import Config, load
from docs.generate import openapi, with_diagram

HOME = Path(__file__).resolve().parents[2]
PACKAGES = ("daemon", "jobqueue", "transfer")


def sources(*folders: str) -> list[Path]:
    return [path for folder in folders for path in sorted((HOME / folder).rglob("*.py"))]


def test_the_import_contracts_hold() -> None:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    result = subprocess.run(command, cwd=HOME, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(("folders", "most"), [(PACKAGES, 350), (("tests",), 500)])
def test_no_file_is_over_the_size_budget(folders: tuple[str, ...], most: int) -> None:
    sizes = {str(path): len(path.read_text().splitlines()) for path in sources(*folders)}
    assert {path: size for path, size in sizes.items() if size > most} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    long = [
        f"{path}:{node.name}"
        for path in sources(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (node.end_lineno or 0) - node.lineno > 60
    ]
    assert long == []


def test_the_package_daemon_imports_nothing() -> None:
    tree = ast.parse(Path(daemon.__file__).read_text())
    assert not [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]


def test_no_task_is_started_outside_a_group() -> None:
    for path in sources(*PACKAGES):
        text = path.read_text()
        assert "asyncio.create_task" not in text, path
        # shield.py awaits its one task to the end, in place
        assert "ensure_future" not in text or path.name == "shield.py", path


def test_the_documents_made_from_the_code_are_current() -> None:
    states = (HOME / "docs" / "states.md").read_text()
    assert with_diagram(states) == states, "run `make docs`"
    assert (HOME / "docs" / "openapi.json").read_text() == openapi(), "run `make docs`"


def test_the_openapi_document_is_valid() -> None:
    validate(json.loads(openapi()))


def test_config_toml_has_every_key_with_its_default_and_a_comment() -> None:
    text = (HOME / "config.toml").read_text()
    assert tomllib.loads(text) == Config().model_dump()
    assert load(str(HOME / "config.toml"), {}) == Config()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        if " = " in line and not line.startswith("#"):
            above = lines[number - 1]
            assert above.startswith("#") or " = " in above, line


def test_the_lock_pins_what_the_project_asks_for_and_names_no_index() -> None:
    lock = (HOME / "requirements.lock").read_text()
    assert "://" not in lock
    pinned = {line.partition("==")[0] for line in lock.splitlines() if "==" in line and not line.startswith((" ", "#"))}
    project = tomllib.loads((HOME / "pyproject.toml").read_text())
    wanted = project["project"]["dependencies"] + project["dependency-groups"]["dev"]
    assert {name.partition(">=")[0] for name in wanted} <= pinned


def test_the_wheel_holds_the_three_packages_and_installs_clean(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(HOME, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "dist"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(source)]
    subprocess.run([*pip, *build], check=True)
    (wheel,) = tmp_path.glob("bitsd-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    tops = {name.partition("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == set(PACKAGES)
    assert "jobqueue/migrations/0001_queue.sql" in names
    target = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", str(target), str(wheel)], check=True)
    assert sorted(os.listdir(target / "bin")) == ["bitsctl", "bitsd"]
    probe = "import daemon.app, daemon.client.cli; print(daemon.__file__)"
    environment = os.environ | {"PYTHONPATH": str(target)}
    found = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == str(target / "daemon" / "__init__.py")
