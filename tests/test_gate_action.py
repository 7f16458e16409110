"""The composite action, as it runs in a codec author's own repository: the very scripts of action.yml, step by step."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from conftest import ROOT, shell

from bench.author.newcodec import create
from bench.author.newprogram import Programs

ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
INPUTS = {"codecs": "mine", "dataset": "folder:photos"}


def step(name: str, folder: Path, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Runs one step of the action in ``folder`` as GitHub does: its env filled from the inputs, its script by bash."""
    (found,) = [step for step in ACTION["runs"]["steps"] if step.get("name") == name]
    given = {name: each.get("default", "") for name, each in ACTION["inputs"].items()} | INPUTS | inputs
    env = {
        variable: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda match: given[match[1]], text)
        for variable, text in found["env"].items()
    }
    summary = {"GITHUB_STEP_SUMMARY": str(folder / "summary.md"), "GITHUB_RUN_ID": "77"}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]]
    return subprocess.run(command, cwd=folder, env=shell() | env | summary, capture_output=True, text=True)


@pytest.fixture
def repository(tmp_path, image_folder):
    """A repository with one codec, the template's, two photographs, and no baseline yet."""
    folder = tmp_path / "theirs"
    shutil.copytree(image_folder, folder / "photos")
    (folder / "wrappers").mkdir()
    source = (ROOT / "codecs_wrappers" / "_template.py").read_text()
    (folder / "wrappers" / "mine.py").write_text(source.replace('name = "template"', 'name = "mine"'))
    return folder


@pytest.mark.slow
def test_the_action_asks_for_a_baseline_passes_the_same_codec_and_fails_one_that_costs_two_percent(repository):
    done = step("Code and measure", repository)
    assert done.returncode == 0, done.stderr
    first = step("Hold against the baseline", repository)
    assert first.returncode == 2 and "rdbench baseline update" in first.stderr
    download = "gh run download 77 --name rdbench-gate --dir rdbench-gate"
    assert download in first.stdout and download in (repository / "summary.md").read_text()

    update = ["rdbench", "baseline", "update", "--folder", "rdbench-gate", "--baseline", "baselines/rdbench.csv"]
    subprocess.run([*update, "--reason", "first"], cwd=repository, env=shell(), check=True, capture_output=True)
    same = step("Hold against the baseline", repository)
    assert (same.returncode, same.stdout.split()[0]) == (0, "same"), same.stderr

    wrapper = repository / "wrappers" / "mine.py"
    honest = "return HEADER.pack(MAGIC, height, width, step, crc) + payload"
    assert honest in wrapper.read_text()
    wrapper.write_text(wrapper.read_text().replace(honest, f"{honest} + bytes(len(payload) // 50)", 1))
    padded = wrapper.read_text().replace("if _seal(height, width, step, payload) != bitstream:", "if False:")
    wrapper.write_text(padded)
    assert step("Code and measure", repository).returncode == 0
    lost = step("Hold against the baseline", repository)
    assert lost.returncode == 1 and "failed   mine" in lost.stdout
    failure = ElementTree.parse(repository / "rdbench-gate" / "gate.xml").getroot().find(".//failure")
    assert failure.get("type") == "bits bpp bd"
    assert "only its code has" in failure.get("message")
    assert "### rdbench gate: 1 failed" in (repository / "summary.md").read_text()

    lenient = step("Hold against the baseline", repository, fail="bits:off bpp:3% bd:3%")
    assert (lenient.returncode, lenient.stdout.split()[0]) == (0, "changed"), lenient.stderr


def test_no_input_reaches_a_script_but_through_its_environment():
    """`${{ }}` inside a script would let a pull request's text run as code."""
    scripts = [step["run"] for step in ACTION["runs"]["steps"] if "run" in step]
    assert len(scripts) == 3 and not any("${{" in script for script in scripts)
    used = set(re.findall(r"inputs\.([\w-]+)", (ROOT / "action.yml").read_text()))
    assert used == set(ACTION["inputs"])
    assert all(each["description"] for each in ACTION["inputs"].values())


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.name)
def test_what_a_workflow_runs_exists(path):
    makefile = (ROOT / "Makefile").read_text()
    steps = [step for job in yaml.safe_load(path.read_text())["jobs"].values() for step in job["steps"]]
    scripts = [step["run"].split() for step in steps if "run" in step]  # a script, or make and a target
    assert scripts
    for program, *arguments in scripts:
        if program == "make":
            assert re.search(rf"^{arguments[0]}:", makefile, re.M)
        else:
            assert os.access(ROOT / program, os.X_OK), program


ENCODER = """
import sys
from PIL import Image
source, target, quality = sys.argv[1:]
Image.open(source).save(target, "WEBP", quality=int(quality), method=METHOD)
"""
PADDING = """
with open(target, "ab") as file:
    file.write(bytes(round(file.tell() / 50)))
"""
DECODER = """
import sys
from PIL import Image
Image.open(sys.argv[1]).convert("RGB").save(sys.argv[2])
"""


@pytest.mark.slow
def test_a_program_built_anew_that_costs_two_percent_fails_with_its_worst_images(tmp_path, image_folder):
    """Its version is its file's hash, so every change is another version: the pull request the gate is for."""
    folder = tmp_path / "theirs"
    shutil.copytree(image_folder, folder / "photos")
    encoder, decoder = folder / "enc.py", folder / "dec.py"
    encoder.write_text(ENCODER.replace("METHOD", "6"))
    decoder.write_text(DECODER)
    lines = (f"{sys.executable} {encoder} {{in}} {{out}} {{q}}", f"{sys.executable} {decoder} {{in}} {{out}}")
    create("mine", folder / "wrappers", Programs(*lines, points=(20, 50, 80, 95)))
    assert step("Code and measure", folder).returncode == 0
    update = ["rdbench", "baseline", "update", "--folder", "rdbench-gate", "--baseline", "baselines/rdbench.csv"]
    subprocess.run([*update, "--reason", "first"], cwd=folder, env=shell(), check=True, capture_output=True)

    encoder.write_text(ENCODER.replace("METHOD", "6") + "# built anew\n")
    assert step("Code and measure", folder).returncode == 0
    same = step("Hold against the baseline", folder)
    assert (same.returncode, same.stdout.split()[0]) == (0, "same"), same.stdout
    assert "codec version" in same.stdout

    encoder.write_text(ENCODER.replace("METHOD", "0"))  # faster, and larger
    assert step("Code and measure", folder).returncode == 0
    lost = step("Hold against the baseline", folder)
    assert lost.returncode == 1 and lost.stdout.startswith("failed   mine")
    failure = ElementTree.parse(folder / "rdbench-gate" / "gate.xml").getroot().find(".//failure")
    assert "bd" in failure.get("type") and "bits" not in failure.get("type")

    encoder.write_text(ENCODER.replace("METHOD", "6") + PADDING)
    assert step("Code and measure", folder).returncode == 0
    (folder / "summary.md").unlink()
    lost = step("Hold against the baseline", folder)
    assert lost.returncode == 1 and "failed   mine" in lost.stdout
    summary = (folder / "summary.md").read_text()
    assert "| image | BD-rate (PSNR) |" in summary
    for image in ("astronaut", "coffee"):
        (line,) = re.findall(rf"^  {image} .*", lost.stdout, re.M)
        assert 1.9 < float(line.split()[1]) < 2.1
        assert f"| {image} | +{line.split()[1][1:]} % |" in summary
