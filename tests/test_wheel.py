"""The wheel works in an empty environment, away from any checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
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
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(root), str(root / "source")]
    done = subprocess.run(build, capture_output=True, text=True)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("the build backend cannot be had here")
    assert done.returncode == 0, done.stderr
    wheel = next(root.glob("*.whl"))
    zipfile.ZipFile(wheel).extractall(root / "site")
    (root / "work").mkdir()
    return wheel, root / "site", root / "work"


def rdbench(installed, *arguments, **environment):
    _, site, work = installed
    code = "import sys; from bench.cli import main; sys.exit(main())"
    variables = {**os.environ, "PYTHONPATH": str(site), **environment}
    call = [sys.executable, "-P", "-c", code, *map(str, arguments)]
    return subprocess.run(call, cwd=work, env=variables, capture_output=True, text=True)


def test_the_wheel_holds_the_packages_and_the_files_at_the_root_and_nothing_else_at_top_level(installed):
    names = set(zipfile.ZipFile(installed[0]).namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"bench", "codecs_wrappers"}
    for name in ("datasets", "figures", "claims", "validation"):
        assert f"bench/specifications/{name}.yaml" in names
    for name in ("fused.c", "textured.txt", "queue.yaml", "models/mean_scale_0.0277.yaml"):
        assert f"codecs_wrappers/learned/training/{name}" in names


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
