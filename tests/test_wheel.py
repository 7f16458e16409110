"""The wheel works away from any checkout. `.ci/wheel` shows it in an empty environment too, which takes a network."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest
from conftest import ROOT
from PIL import Image

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="builds the wheel from the tracked files")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """(the wheel, a folder it is unpacked into, an empty folder to work in)."""
    root = tmp_path_factory.mktemp("wheel")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, tracked.split("\0")):
        if name.startswith(("reports/", "codecs_wrappers/learned/weights/")) or not (ROOT / name).is_file():
            continue  # the weights make it slow, and nothing here codes with them
        (root / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, root / "source" / name)
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*build, "-w", str(root), str(root / "source")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wheel = next(root.glob("*.whl"))
    zipfile.ZipFile(wheel).extractall(root / "site")
    (root / "work").mkdir()
    return wheel, root / "site", root / "work"


def rdbench(installed, *arguments, **environment):
    _, site, work = installed
    code = "import sys; from bench.cli import __file__ as file, main; assert file.startswith(sys.argv.pop(1)); "
    code += "sys.exit(main())"
    variables = {**os.environ, "PYTHONPATH": str(site), **environment}
    call = [sys.executable, "-P", "-c", code, str(site), *map(str, arguments)]
    return subprocess.run(call, cwd=work, env=variables, capture_output=True, text=True)


def test_the_wheel_holds_the_packages_and_the_files_at_the_root_and_nothing_else_at_top_level(installed):
    names = set(zipfile.ZipFile(installed[0]).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bench", "codecs_wrappers"}
    for name in ("datasets", "figures", "claims", "validation"):
        assert f"bench/specifications/{name}.yaml" in names
    for name in ("steps/fused.c", "textured.txt", "queue.yaml", "models/mean_scale_0.0277.yaml"):
        assert f"codecs_wrappers/learned/training/{name}" in names


def test_the_wheel_declares_its_command_its_extras_and_its_types(installed):
    wheel = zipfile.ZipFile(installed[0])
    (folder,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert "rdbench = bench.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()
    about = message_from_bytes(wheel.read(f"{folder}/METADATA"))
    assert set(about.get_all("Provides-Extra")) == {"cluster", "docs", "learned", "metrics", "oracles", "test"}
    assert not about.get_all("Project-URL"), "none is known"
    learned = [it for it in about.get_all("Requires-Dist") if "extra == 'learned'" in it]
    assert learned and all("python_version < '3.13'" in it for it in learned)
    assert "bench/py.typed" in wheel.namelist()


def test_the_embedded_images_are_fetched_away_from_a_checkout(installed):
    done = rdbench(installed, "fetch", "sample", "--manifest", "sample.json", "--json")
    assert done.returncode == 0, done.stderr
    manifest = json.loads((installed[2] / "sample.json").read_bytes())
    assert manifest["status"] == "ok" and len(manifest["images"]) == 5


@pytest.mark.slow
def test_a_run_a_comparison_and_a_gate_work_away_from_a_checkout(installed, image_folder):
    folder = f"folder:{image_folder}"
    for codec in ("jpeg", "webp"):
        done = rdbench(installed, "run", codec, "--dataset", folder, "--out", f"results/mine/{codec}.parquet")
        assert done.returncode == 0, done.stderr
    parts = [f"results/mine/{codec}.parquet" for codec in ("jpeg", "webp")]
    assert rdbench(installed, "collect", *parts, "--folder", "results/mine").returncode == 0
    found = rdbench(installed, "compare", "jpeg", "webp", "--folder", "results/mine", "--dataset", folder)
    assert found.returncode == 0, found.stderr
    assert "webp" in found.stdout
    baseline = ("--folder", "results/mine", "--baseline", "mine.csv")
    assert rdbench(installed, "baseline", "update", *baseline, "--reason", "first").returncode == 0
    gate = rdbench(installed, "gate", *baseline)
    assert gate.returncode == 0
    assert "2 same" in gate.stdout + gate.stderr
    assert rdbench(installed, "claims", "--folder", "results/mine").returncode == 0
    missing = rdbench(installed, "compare", "jpeg", "webp", "--folder", "results/mine", "--dataset", "sample")
    assert missing.returncode == 2
    assert "the run has the datasets folder-photos" in missing.stderr


def test_a_new_codec_goes_into_the_working_folder_and_works(installed, photographs):
    _, site, work = installed
    made = rdbench(installed, "new-codec", "mine")
    assert made.returncode == 0, made.stderr
    assert (work / "wrappers" / "mine.py").is_file()
    assert not (site / "codecs_wrappers" / "mine.py").exists()
    assert f"export RDBENCH_WRAPPERS={work / 'wrappers'} && rdbench try mine" in made.stdout
    Image.fromarray(photographs["astronaut"]).save(work / "a.png")
    tried = rdbench(installed, "try", "mine", "a.png", RDBENCH_WRAPPERS=str(work / "wrappers"))
    assert tried.returncode == 0, tried.stderr


def test_a_file_in_the_working_folder_goes_before_the_wheels(installed):
    _, _, work = installed
    own = (ROOT / "datasets.yaml").read_text().replace("\nsample:", "\nmy_sample:", 1)
    assert "my_sample" in own or "sample" not in own
    (work / "datasets.yaml").write_text((ROOT / "datasets.yaml").read_text().replace("kodak:", "kodak_renamed:"))
    try:
        unknown = rdbench(installed, "fetch", "nosuch")
        assert unknown.returncode == 2
        assert "kodak_renamed" in unknown.stderr
    finally:
        Path(work / "datasets.yaml").unlink()
