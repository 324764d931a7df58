"""The shape of the project: imports go down, floors keep to themselves, names are the agreed ones."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

import constrain
from grammars.kernel import native

ROOT = Path(__file__).resolve().parents[1]
FLOORS = ["grammars", "decoders", "constrain"]  # lowest first
ORACLES = {"jsonschema", "regex", "interegular", "hypothesis", "lark"}
TOP = {
    "constrain", "grammars", "decoders", "tests", "docs", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md",
    "CONTRIBUTING.md", "Makefile", "constraints.txt",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
    return {name.split(".")[0] for name in found}


def sources(floor: str) -> list[Path]:
    return sorted((ROOT / floor).rglob("*.py"))


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_go_down(floor):
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    for path in sources(floor):
        assert not imports(path) & above, path


def test_grammars_know_no_torch_and_no_oracle():
    for path in sources("grammars"):
        assert not imports(path) & ({"torch", "transformers"} | ORACLES), path


def test_only_the_kernel_package_imports_the_native_module():
    for floor in FLOORS:
        for path in sources(floor):
            if path != ROOT / "grammars" / "kernel" / "__init__.py":
                assert "import _kernel" not in path.read_text(), path


def test_the_top_level_is_as_agreed():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    names = {line.split("/")[0] for line in listed.stdout.splitlines()}
    assert {n for n in names if not n.startswith(".")} <= TOP


def test_files_hold_one_story_each():
    for floor in FLOORS:
        for path in [*sources(floor), *(ROOT / floor).rglob("*.hpp")]:
            assert path.read_text(encoding="utf-8").count("\n") <= 900, path


def test_no_packages_under_tests():
    assert not list((ROOT / "tests").rglob("__init__.py"))


def test_public_names():
    assert sorted(constrain.__all__) == sorted(n for n in dir(constrain))
    for name in constrain.__all__:
        assert getattr(constrain, name) is not None
    for method in "start step fill allows accepting matcher accepts report prepare".split():
        assert hasattr(constrain.TokenAutomaton, method)
    for method in (
        "fill_mask mask allows advance validate rollback fork reset state accepting ended finished forced_bytes "
        "forced_tokens distance explain"
    ).split():
        assert hasattr(constrain.Matcher, method)


def test_the_stub_names_what_the_kernel_has():
    tree = ast.parse((ROOT / "grammars" / "kernel" / "_kernel.pyi").read_text())
    stated = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef | ast.FunctionDef)}
    actual = {n for n in dir(native) if not n.startswith("_")}
    assert set(stated) == actual
    for name, node in stated.items():
        if isinstance(node, ast.ClassDef):
            members = {m.name for m in node.body if isinstance(m, ast.FunctionDef)}
            members |= {
                m.target.id for m in node.body if isinstance(m, ast.AnnAssign) and isinstance(m.target, ast.Name)
            }
            public = {m for m in dir(getattr(native, name)) if not m.startswith("_")}
            assert {m for m in members if not m.startswith("_")} == public, name
