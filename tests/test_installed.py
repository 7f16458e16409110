"""Codecs of installed packages: entry points of rdbench.codecs are found, run, hashed, and refused with a reason."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image

from bench.discovery import codecs, discover, load, module_of
from bench.errors import UsageError
from bench.installed import registered
from bench.run.codec_state import all_codec_states, code_sha256

CODEC = """
from bench.codec import Codec, Point
{imports}
class Mine(Codec):
    name, extension, points = "{name}", ".m", (Point("only"),)
    def version(self):
        return "1"

CODECS = [Mine()]
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Puts a package with one entry point into a site folder of this process's own, as an installer would."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    modules = set(sys.modules)

    def put(distribution: str, entry: str, files: dict[str, str], listed: bool = True) -> Path:
        for name, source in files.items():
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).write_text(textwrap.dedent(source))
        facts = site / f"{distribution.replace('-', '_')}-1.0.dist-info"
        facts.mkdir(exist_ok=True)
        (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[rdbench.codecs]\n{entry}\n")
        (facts / "RECORD").write_text("".join(f"{name},,\n" for name in files if listed))
        importlib.invalidate_caches()
        monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / f"none{len(sys.path)}")])  # installed after a look
        return site

    yield put
    for name in set(sys.modules) - modules:
        if name.startswith("plugin"):
            del sys.modules[name]


def rows() -> dict[str, str]:
    return {wrapper.module: wrapper.error for wrapper in discover() if wrapper.error}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder into which pip installed tests/example_package, without a network."""
    pytest.importorskip("hatchling")
    source = tmp_path_factory.mktemp("source") / "example_package"
    shutil.copytree(ROOT / "tests" / "example_package", source, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--target", str(target), str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


def rdbench(site: str | Path, work: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    command = [sys.executable, "-m", "bench.cli", *map(str, arguments)]
    return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)


def test_the_installed_example_goes_through_the_two_processes(site, image_folder, tmp_path):
    """From a folder of PYTHONPATH that is relative: it leads nowhere from where the workers stand."""
    (tmp_path / "here").symlink_to(site)
    listed = rdbench("here", tmp_path, "list")
    assert listed.returncode == 0, listed.stderr
    assert "\nexample " in listed.stdout and "from the installed package rdbench-example" in listed.stdout
    out = tmp_path / "example.parquet"
    run = ("run", "example", "--dataset", f"folder:{image_folder}", "--folder", tmp_path / "results", "--out", out)
    done = rdbench("here", tmp_path, *run)
    assert done.returncode == 0, done.stderr
    frame = pd.read_parquet(out)
    assert (frame.status == "ok").all() and len(frame) == 2 * 4
    assert frame[frame.point == "s012"].psnr_rgb_db.min() > frame[frame.point == "s096"].psnr_rgb_db.max()
    assert frame.code_sha256.nunique() == 1 and len(frame.code_sha256[0]) == 64


def test_a_file_of_the_example_is_coded_and_decoded_from_the_shell(site, photographs, tmp_path):
    Image.fromarray(photographs["coffee"]).save(tmp_path / "a.png")
    coded = rdbench(site, tmp_path, "encode", "example", "a.png", "a.exmp", "--point", "s024")
    assert coded.returncode == 0, coded.stderr
    assert rdbench(site, tmp_path, "decode", "example", "a.exmp", "b.png").returncode == 0
    damaged = (tmp_path / "a.exmp").read_bytes()[:-5]
    (tmp_path / "a.exmp").write_bytes(damaged)
    refused = rdbench(site, tmp_path, "decode", "example", "a.exmp", "b.png")
    assert refused.returncode == 2 and "example bitstream" in refused.stderr


def test_a_codec_of_a_package_is_found_with_its_owner(install):
    install("plug-in", "mine = plugin_a.wrapper", {"plugin_a/__init__.py": "", "plugin_a/wrapper.py": made("mine")})
    assert module_of(load("mine")) == module_of(codecs()["mine"]) == "plug-in:plugin_a.wrapper"
    assert all_codec_states()["mine"].module == "plug-in:plugin_a.wrapper"
    assert [it.owner for it in registered() if it.name == "mine"] == ["plugin_a.wrapper of plug-in 1.0"]


def made(name: str, imports: str = "") -> str:
    return CODEC.format(name=name, imports=imports)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("entry", "source", "reason"),
    [
        ("mine = plugin_b.wrapper", "import nosuchmodule\n", "ModuleNotFoundError: No module named 'nosuchmodule'"),
        ("mine = plugin_b.wrapper", "raise SystemExit(3)\n", "SystemExit: 3 (wrapper.py, line 1)"),
        ("mine = plugin_b.wrapper", "LEVEL = 3\n", "has no attribute 'CODECS'"),
        ("mine = plugin_b.absent", "", "No module named 'plugin_b.absent'"),
        ("mine = plugin_b.wrapper:CODECS", made("mine"), "to name a module, got 'plugin_b.wrapper:CODECS'"),
        ("mine = plugin_b!", "", "expected its entry point 'mine' to name a module, got 'plugin_b!'"),
    ],
)
def test_a_broken_package_is_a_row_with_its_reason_and_costs_no_other(install, entry, source, reason):
    install("plug-in", entry, {"plugin_b/__init__.py": "", "plugin_b/wrapper.py": source})
    found = all_codec_states()
    module = entry.split()[-1].partition(":")[0]  # "plugin_b!" as it stands: nothing else is known of it
    assert found["mine"].error.startswith(f"{module} of plug-in 1.0 could not be imported: ")
    assert reason in found["mine"].error and found["jpeg"].available
    with pytest.raises(UsageError, match=r"plug-in 1\.0 could not be imported"):
        load("mine")


def test_a_codec_that_a_file_and_a_package_give_is_refused_with_both_owners(install, add_wrapper):
    path = add_wrapper("own", made("mine"))
    install("plug-in", "plug = plugin_c", {"plugin_c.py": made("mine")})
    assert rows() == {"plug": f"codec 'mine' is already given by {path}"}
    assert module_of(codecs()["mine"]) == "own"


def test_two_packages_of_one_codec_or_of_one_entry_points_name_are_told_apart(install):
    install("first", "plug = plugin_d", {"plugin_d.py": made("mine")})
    install("second", "plug = plugin_e", {"plugin_e.py": made("other")})
    install("third", "zed = plugin_f", {"plugin_f.py": made("mine")})
    assert rows() == {
        "second.plug": "its entry point 'plug' has the name of plugin_d of first 1.0; rename one of the two, or "
        "uninstall a package",
        "zed": "codec 'mine' is already given by plugin_d of first 1.0",
    }


def test_an_entry_point_may_not_take_the_name_of_a_wrapper_file(install):
    install("plug-in", "jpeg = plugin_g", {"plugin_g.py": made("mine")})
    assert "has the name of codecs_wrappers/jpeg.py" in rows()["plug-in.jpeg"]
    assert module_of(load("jpeg")) == "jpeg"


def test_a_broken_wrapper_never_hides_the_codec_of_its_name(install, add_wrapper):
    add_wrapper("own", made("mine"))
    install("plug-in", "mine = plugin_h", {"plugin_h.py": "import nosuchmodule\n"})
    found = all_codec_states()
    assert found["mine"].available and "nosuchmodule" in found["mine.broken"].error
    with pytest.raises(UsageError, match=r"plugin_h of plug-in 1\.0 could not be imported"):
        load("mine.broken")


def test_the_hash_covers_what_the_module_imports_in_its_own_distribution(install):
    files = {
        "plugin_i/__init__.py": "",
        "plugin_i/wrapper.py": made("mine", "from . import deep\nimport plugin_i_core, json, plugin_other\n"),
        "plugin_i/deep.py": "from codecs_wrappers.native import command\nSIZE = 3\n",
        "plugin_i/unused.py": "",
        "plugin_i_core.py": "LEVEL = 1\n",
    }
    install("another", "x = plugin_other", {"plugin_other.py": made("other")})

    def hashed(**changed: str) -> str:
        now = files | {name.replace("__", "/", 1) + ".py": text for name, text in changed.items()}
        site = install("plug-in", "mine = plugin_i.wrapper", now)
        assert (site / "plugin_i" / "wrapper.py").is_file()
        return code_sha256("plug-in:plugin_i.wrapper")

    first = hashed()
    assert hashed(plugin_i__deep=files["plugin_i/deep.py"] + "# a remark\n") == first
    assert hashed(plugin_i__unused="SIZE = 4\n") == first
    assert hashed(plugin_i__deep=files["plugin_i/deep.py"].replace("3", "4")) != first
    assert hashed(plugin_i_core="LEVEL = 2\n") != first
    assert hashed(plugin_i____init__="LEVEL = 2\n") != first
    assert hashed() == first
    install("another", "x = plugin_other", {"plugin_other.py": made("other") + "LEVEL = 5\n"})
    assert code_sha256("plug-in:plugin_i.wrapper") == first, "of another distribution only version() can tell"


def test_a_compiled_module_counts_with_its_bytes(install):
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    files = {"plugin_j/__init__.py": "", "plugin_j/wrapper.py": made("mine", "from plugin_j import _fast\n")}
    site = install("plug-in", "mine = plugin_j.wrapper", files)

    def hashed(code: bytes) -> str:
        (site / "plugin_j" / f"_fast{suffix}").write_bytes(code)
        return code_sha256("plug-in:plugin_j.wrapper")

    assert hashed(b"\x7fELF\0one") != hashed(b"\x7fELF\0two")


def test_an_editable_package_is_hashed_with_the_modules_next_to_its_own(install):
    files = {
        "plugin_k/__init__.py": "",
        "plugin_k/wrapper.py": made("mine", "import plugin_k_core\n"),
        "plugin_k_core.py": "LEVEL = 1\n",
    }
    site = install("plug-in", "mine = plugin_k.wrapper", files, listed=False)
    (site / "plug_in-1.0.dist-info" / "direct_url.json").write_text(json.dumps({"dir_info": {"editable": True}}))
    first = code_sha256("plug-in:plugin_k.wrapper")
    (site / "plugin_k_core.py").write_text("LEVEL = 2\n")
    assert code_sha256("plug-in:plugin_k.wrapper") != first
