"""The lock and what installs from it: every dependency has a pin and hashes, every extra all that its packages need."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from conftest import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DECLARED = [Requirement(line) for lines in (PROJECT["dependencies"], *EXTRAS.values()) for line in lines]
PYTHONS = ("3.11", "3.12", "3.13")


def locked(*arguments: str) -> list[str]:
    """The entries that .ci/locked.py prints, each with its hashes."""
    command = [sys.executable, str(ROOT / ".ci" / "locked.py"), *arguments]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return re.findall(r"^[a-z0-9].*\n(?:[ ].*\n)*", text, re.MULTILINE)


def pins(entries: list[str], python: str, platform: str = "linux") -> dict[str, str]:
    """name -> version of the entries that a Python version on a platform installs."""
    where = {"python_full_version": f"{python}.0", "python_version": python, "sys_platform": platform}
    where |= {"platform_machine": "x86_64", "platform_python_implementation": "CPython"}
    found = {}
    for entry in entries:
        requirement = Requirement(entry.partition("\\")[0])
        if requirement.marker is None or requirement.marker.evaluate(where):
            assert requirement.name not in found, f"{requirement.name} twice for Python {python}"
            found[requirement.name] = str(requirement.specifier).removeprefix("==")
    return found


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_within_its_range(python, platform):
    pinned = pins(locked(",".join(EXTRAS)), python, platform)
    for requirement in DECLARED:
        if requirement.marker is None or requirement.marker.evaluate({"python_version": python}):
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_every_pin_has_hashes():
    entries = locked(",".join(EXTRAS))
    assert len(entries) > 100
    assert [entry for entry in entries if not re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry)] == []


def test_the_whole_lock_is_what_all_extras_need():
    names = re.findall(r"^([a-z0-9][a-z0-9.-]*==\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert [entry.split()[0] for entry in locked(",".join(EXTRAS))] == names


@pytest.mark.parametrize("extras", ["", "learned", "test,docs", "learned,test,docs"])
def test_what_an_installation_without_resolver_gets_is_complete(extras):
    """pip installs the list with --no-deps: whatever a package of it needs has to be in it as well."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    chosen = pins(locked(extras), python, sys.platform)
    checked = 0
    for name in chosen:
        try:
            needs = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue
        checked += 1
        for requirement in map(Requirement, needs):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                assert canonicalize_name(requirement.name) in chosen, f"{name} needs {requirement}"
    assert checked > 50


def test_without_cuda_the_list_has_torch_and_nothing_of_nvidia():
    with_cuda, without = (pins(locked("learned", *more), "3.11") for more in ((), ("--without-cuda",)))
    left_out = set(with_cuda) - set(without)
    assert {"triton", "nvidia-cublas"} <= left_out and "torch" in without
    assert all(re.match(r"nvidia-|cuda-|triton", name) for name in left_out)


def test_python_3_13_gets_no_learned_codec_and_the_others_do():
    names = {"compressai", "torch", "torchvision", "pytorch-msssim", "safetensors", "tensorboard"}
    assert all(names <= set(pins(locked("learned"), python)) for python in ("3.11", "3.12"))
    assert not names & set(pins(locked("learned"), "3.13"))


def test_an_extra_that_is_none_is_refused():
    done = subprocess.run([sys.executable, ".ci/locked.py", "lerned"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "no extra is called lerned; there are learned, " in done.stderr


def dry_run(target: str, tmp_path: Path, *variables: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-n", target, f"VENV={tmp_path / 'venv'}", f"PYTHON={sys.executable}", *variables]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_installs_with_uv_or_with_pip_always_from_the_hashed_lock(tmp_path):
    by_uv = dry_run("environment", tmp_path, "UV=/bin/uv").stdout
    assert "/bin/uv pip install" in by_uv and "-c requirements.lock -e '.[learned]'" in by_uv
    by_pip = dry_run("environment", tmp_path, "UV=").stdout
    assert "locked.py 'learned'" in by_pip and "-m pip install" in by_pip and "uv pip" not in by_pip
    assert by_pip.index("--no-deps --require-hashes") < by_pip.index("--no-deps -e .")


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_make_takes_torch_from_its_own_index_only_when_asked_to(tmp_path):
    index = "--no-deps --index-url https://download.pytorch.org/whl/cpu"
    for uv in ("UV=/bin/uv", "UV="):
        assert index in dry_run("environment", tmp_path, uv, "TORCH=cpu").stdout
        assert "index-url" not in dry_run("environment", tmp_path, uv).stdout
        without = dry_run("environment", tmp_path, uv, "TORCH=cpu", "LEARNED=").stdout
        assert "index-url" not in without and "learned" not in without
    refused = dry_run("environment", tmp_path, "TORCH=gpu")
    assert refused.returncode == 2 and "TORCH=gpu: expected cpu" in refused.stderr
