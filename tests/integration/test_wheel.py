"""The wheel holds all that Kedge needs at run time, and its command works once it is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "kedge"
LIMIT_S = 120


def run(*command: str | Path, cwd: Path) -> str:
    environment = {"PATH": os.environ["PATH"], "HOME": str(cwd), "LANG": "C.UTF-8"}
    ran = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, timeout=LIMIT_S,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by hatchling itself, so that nothing is fetched."""
    target = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", target, cwd=ROOT)
    (found,) = target.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands' folder of a new environment, with this one's packages below those of its own."""
    place = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", place, cwd=place)
    site = place / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    pip = (sys.executable, "-m", "pip", "--python", place / "bin" / "python", "install")
    run(*pip, "--no-deps", "--no-index", "--quiet", wheel, cwd=place)
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "bin"


def test_no_file_is_left_out(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if name.startswith("kedge/")}
    there = {
        f"kedge/{path.relative_to(PACKAGE)}"
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == there
    for needed in (
        "kedge/py.typed",
        "kedge/sync/v1/sync_pb2.py",
        "kedge/modules/boot/layer0/early/init",
        "kedge/modules/boot/layer0/early/udhcpc",
    ):
        assert needed in packed


def test_it_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
    assert any(name.endswith("/LICENSE") for name in names)
    assert "\nRequires-Python: >=3.11\n" in text
    assert "\nRequires-Dist: aiohttp" in text


def test_the_command_works(installed: Path, tmp_path: Path) -> None:
    python = installed / "python"
    where = run(python, "-c", "import kedge; print(kedge.__file__)", cwd=tmp_path)
    assert str(installed.parent) in where  # not the checkout's
    assert "doctor" in run(installed / "kedge", "--help", cwd=tmp_path)
    assert run(installed / "kedge", "version", cwd=tmp_path).startswith("kedge 0.1.0 ")
    assert "made" in run(installed / "kedge", "init", tmp_path / "head", cwd=tmp_path)


def test_its_modules_are_found(installed: Path, tmp_path: Path) -> None:
    ask = (
        "from kedge.master.serve import installed_modules\n"
        "print(*sorted(module.name for module in installed_modules()))\n"
    )
    names = run(installed / "python", "-c", ask, cwd=tmp_path).split()
    own = ["boot", "health", "image", "power", "release", "scheduler", "submaster"]
    assert sorted(set(names)) == own
