"""The bundle: what the scripts inside layer0 write, the agent's start must be able to load."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import cryptography
import pytest

from kedge.agent.start import Bundle
from kedge.modules.boot.layer0 import bytecode, tree

SITE = "usr/lib/python3/dist-packages"
INSIDE = Path(bytecode.__file__).parent / "inside"
MESSAGE = "a module that only the bundle has"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree with the agent, compiled and bundled by this Python."""
    root = tmp_path_factory.mktemp("layer0")
    tree.add_agent(root)
    errors = root / SITE / "kedge/lib/errors.py"
    errors.write_text(errors.read_text() + f'\nMESSAGE = "{MESSAGE}"\n')
    others = str(Path(cryptography.__file__).parents[1])
    for script in (["compile_all.py", str(root)], ["bundle_agent.py", str(root), str(root)]):
        subprocess.run(
            [sys.executable, "-B", "-S", str(INSIDE / script[0]), *script[1:]],
            # Kedge out of the tree, what it needs out of this environment.
            env={"PYTHONPATH": os.pathsep.join((str(root / SITE), others))},
            check=True,
            timeout=120,
        )
    return root


def test_what_a_boot_loads_is_in_the_bundle_with_its_place(packed: Path) -> None:
    bundle = Bundle(str(packed / "usr/lib/kedge/agent.bundle"))
    for name in ("kedge.agent.__main__", "kedge.sync.child", "kedge.agent.fetch", "kedge.lib"):
        assert bundle.find_spec(name, None) is not None, name
    package, module = (bundle.find_spec(n, None) for n in ("kedge.lib", "kedge.lib.errors"))
    assert package is not None and module is not None
    assert package.submodule_search_locations == [f"/{SITE}/kedge/lib"]
    assert module.submodule_search_locations is None
    assert module.origin == f"/{SITE}/kedge/lib/errors.py"  # traces show its lines
    assert bundle.find_spec("kedge.master", None) is None
    assert bundle.find_spec("no_such_module", None) is None


def test_a_module_runs_out_of_the_bundle(packed: Path) -> None:
    spec = Bundle(str(packed / "usr/lib/kedge/agent.bundle")).find_spec("kedge.lib.errors", None)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.MESSAGE == MESSAGE
    assert module.KedgeError("a.b", "it broke").code == "a.b"


def test_the_starter_takes_the_agent_out_of_the_bundle(packed: Path) -> None:
    """Without its folder, Kedge can come from nowhere else."""
    others = str(Path(cryptography.__file__).parents[1])
    program = (
        f"import runpy, sys; sys.path.insert(0, {others!r}); sys.argv[:] = [{{starter!r}}, '--stage', 'up']\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    aside = packed / "aside"
    (packed / SITE).rename(aside)
    try:
        run = subprocess.run(
            [sys.executable, "-I", "-S", "-c",
             program.format(starter=str(packed / "usr/lib/kedge/start-agent.pyc"))],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    finally:
        aside.rename(packed / SITE)
    assert run.returncode == 64, run.stderr
    assert "--stage layer0|running" in run.stderr


def test_a_missing_bundle_is_no_silent_start(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Bundle(str(tmp_path / "agent.bundle"))
