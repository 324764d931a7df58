"""The wheel: three import packages and nothing else at its top, the kernel compiled, no C++ sources, typed."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_wheel_holds_three_packages(tmp_path):
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(ROOT)], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    top = {n.split("/")[0] for n in names if ".dist-info" not in n}
    assert top == {"constrain", "grammars", "decoders"}
    assert not [n for n in names if n.endswith((".cpp", ".hpp", "CMakeLists.txt"))]
    for package in top:
        assert f"{package}/py.typed" in names
    assert "grammars/kernel/_kernel.pyi" in names
    assert [n for n in names if n.startswith("grammars/kernel/_kernel") and n.endswith(".so")]
    assert "constrain/models/default/model.safetensors" in names
