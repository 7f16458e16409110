"""`snakemake` end to end, on a folder of small photographs: the page, what runs again, what goes on after kill -9."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import ROOT, shell

from bench import records
from bench.cli import main
from bench.errors import UsageError
from bench.workflow import default_config, given_on_command_line, plan

WRAPPER = """
import time
import numpy as np
from bench.codec import Codec, Point, check_image

class Shades(Codec):
    name, extension, points = "shades", ".s", tuple(Point(f"s{n}", step=n) for n in (64, 32, 16, 8))
    def version(self):
        return "1"
    def encode(self, image, point):
        time.sleep(DELAY_S)
        image = check_image(image)
        small = image[::2, ::2] // point["step"]
        return np.array([*image.shape[:2], point["step"]], "<u2").tobytes() + small.tobytes()
    def decode(self, bitstream):
        height, width, step = np.frombuffer(bitstream[:6], "<u2").astype(int)
        small = np.frombuffer(bitstream[6:], np.uint8).reshape((height + 1) // 2, (width + 1) // 2, 3)
        return (small * step + step // 2).astype(np.uint8).repeat(2, 0).repeat(2, 1)[:height, :width].copy()

DELAY_S = 0.0
CODECS = [Shades()]
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder to run in, with everything of the checkout that the Snakefile names."""
    folder = tmp_path / "project"
    folder.mkdir()
    specifications = ("datasets.yaml", "figures.yaml", "validation.yaml", "claims.yaml")
    for name in ("Snakefile", *specifications, "config", "profiles", "rules"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    figures = yaml.safe_load((folder / "figures.yaml").read_text())
    figures["figures"] = [
        spec for spec in figures["figures"] if spec["name"] == "rd_psnr"
    ]  # drawing all takes a minute
    assert figures["figures"]
    (folder / "figures.yaml").write_text(yaml.safe_dump(figures))
    return folder


def start(project: Path, image_folder: Path, codecs: list[str], *sets: str, options: tuple[str, ...] = ()):
    settings = {
        "name": "test",
        "datasets": [f"folder:{image_folder}", *sets],
        "codecs": codecs,
        "timing": {"repeats": 1},
    }
    (project / "config" / "test.yaml").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/test.yaml", *options]
    return subprocess.Popen(
        command,
        cwd=project,
        env={**shell(), "RDBENCH_CACHE": str(project / "cache")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(*arguments, **settings) -> str:
    process = start(*arguments, **settings)
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output
    return output


def jobs(output: str) -> dict[str, int]:
    """The rules that ran, with counts, from Snakemake's table of jobs."""
    if "Job stats:" not in output:
        return {}
    lines = output.split("Job stats:", 1)[1].strip().splitlines()[2:]
    table = [line.split() for line in lines[: lines.index("")]]
    return {name: int(count) for name, count in table if name not in ("all", "total")}


def test_one_command_makes_the_page_and_a_second_one_has_nothing_to_do(project, image_folder, add_wrapper):
    add_wrapper("shades", WRAPPER)
    add_wrapper("broken", "import a_library_that_is_not_there\n")
    names = ["jpeg", "webp", "shades", "broken"]
    default = project / "config" / "sample.yaml"  # counts only where no other configuration is named
    default.write_text("datasets: [sample]\nleave_out: {jpeg: not wanted}\n")
    output = run(project, image_folder, names)
    page = project / "results" / "test" / "report" / "index.html"
    assert str(page) in output
    text = page.read_text()
    assert "a_library_that_is_not_there" in text
    figures = re.findall(r'<img src="(figures/[^"]+\.svg)" width="(\d+)" height="(\d+)"', text)
    assert len(figures) == text.count('<img src="figures/') > 0  # each keeps its place before it is loaded
    for path, width, height in figures:
        view_box = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', (page.parent / path).read_text())
        assert view_box and int(width) / int(height) == pytest.approx(float(view_box[1]) / float(view_box[2]), rel=0.01)
    table = pd.read_csv(project / "results" / "test" / "records.csv")
    assert set(table[table.status == "ok"].codec) == {"identity", "grey", "jpeg", "webp", "shades"}
    assert list(table[table.status == "failed"].codec) == ["broken"]
    bd = pd.read_csv(project / "results" / "test" / "bd.csv")
    assert "shades" in set(bd.codec)

    assert jobs(run(project, image_folder, names)) == {}
    wrapper = add_wrapper("shades", WRAPPER)
    os.utime(wrapper)
    assert jobs(run(project, image_folder, names)) == {}
    add_wrapper("shades", WRAPPER + "UNUSED = 1\n")
    again = jobs(run(project, image_folder, names, options=("--dry-run",)))
    assert (again["code"], again["time"]) == (1, 1)
    assert "fetch" not in again


def weights_that_fit(path: Path) -> Path:
    """A manifest for RDBENCH_WEIGHTS in which every derivation was made from the committed networks as they are."""
    from codecs_wrappers.learned import weights
    from codecs_wrappers.learned.training import derived

    entries = {}
    for name in filter(derived.outdated, derived.names()):
        first, *_, last = derived.parents(name) * 2
        base, start = ({"name": parent, "sha256": weights.sha256(parent)} for parent in (first, last))
        entries[name] = {"source": "file", "file": "none", "sha256": "0" * 64, "rate_weight": 1.0}
        entries[name] |= {"architecture": {"family": "none"}, "base": base, "started_from": start}
    path.write_text(yaml.safe_dump(entries))
    return path


@pytest.mark.slow
def test_publish_makes_baselines_and_reports_in_order_and_a_second_call_has_nothing_to_do(project, image_folder):
    tiny = {"datasets": [f"folder:{image_folder}"], "codecs": ["jpeg"], "studies": [], "timing": {"images": 1}}
    for name in ("gate", "synthetic", "sample", "kodak"):
        (project / "config" / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **tiny}))
    done = "from pathlib import Path\nPath({!r}).open('a').write('done')\n"
    for script in ("docs/facts.py", "tests/fixtures/make_bitstreams.py"):
        (project / script).parent.mkdir(parents=True)
        (project / script).write_text(done.format(script.replace("/", ".")))
    environment = {**shell(), "RDBENCH_CACHE": str(project / "cache")}
    environment["RDBENCH_WEIGHTS"] = str(weights_that_fit(project / "weights.yaml"))

    def publish(*settings: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "snakemake", "--cores", "2", "publish", *settings]
        return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=500)

    refused = publish()
    assert refused.returncode == 1
    assert "a baseline needs a reason" in (project / "results/publish/logs/gate.baseline.log").read_text()
    done = publish("--config", "reason=the first")
    assert done.returncode == 0, done.stderr
    for name in ("gate", "synthetic", "sample"):
        origins = json.loads((project / "results/baselines" / f"{name}.json").read_text())
        assert {origin["reason"] for each in origins.values() for origin in each.values()} == {"the first"}
    assert (project / "reports/kodak/index.html").is_file()
    assert (project / "docs.facts.py").read_text() == "done"
    again = publish("--config", "reason=the first")
    assert "Nothing to be done" in again.stderr
    assert (project / "docs.facts.py").read_text() == "done"


def test_a_codec_named_on_the_command_line_runs_though_the_configuration_leaves_it_out(project, image_folder):
    def planned(*settings: str) -> dict[str, int]:
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--config", f"datasets=[folder:{image_folder}]"]
        environment = {**shell(), "RDBENCH_CACHE": str(project / "cache")}
        done = subprocess.run(
            [*command, *settings], cwd=project, env=environment, stdout=-1, stderr=-2, text=True, timeout=120
        )
        assert done.returncode == 0, done.stdout
        return jobs(done.stdout)

    (project / "config" / "kodak.yaml").write_text("datasets: [kodak]\nleave_out: {webp: not wanted}\n")
    assert planned("codecs=[jpeg,webp]")["code"] == 2 + 2  # with the two controls
    assert planned("codecs=[jpeg]")["code"] == 1 + 2


@pytest.mark.slow
def test_a_codec_whose_code_changed_is_measured_again_alone(project, image_folder, add_wrapper):
    add_wrapper("shades", WRAPPER)
    records = project / "results" / "test" / "records.parquet"
    target = ("--", "results/test/records.parquet")
    run(project, image_folder, ["jpeg", "shades"], options=target)
    before = records.read_bytes()
    add_wrapper("shades", WRAPPER + "UNUSED = 1\n")
    again = jobs(run(project, image_folder, ["jpeg", "shades"], options=target))
    assert again["code"] == 1 and "fetch" not in again
    assert records.read_bytes() != before  # the code's hash is part of the records


@pytest.mark.slow
def test_a_workflow_killed_in_the_middle_goes_on_to_the_same_records(project, image_folder, add_wrapper, tmp_path):
    add_wrapper("shades", WRAPPER.replace("DELAY_S = 0.0", "DELAY_S = 1.0"))
    process = start(project, image_folder, ["jpeg", "shades"])
    deadline = time.monotonic() + 120
    while not list((project / "cache" / "pieces").glob("shades/*/*.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (project / "results" / "test" / "records.parquet").exists()
    run(project, image_folder, ["jpeg", "shades"])
    resumed = (project / "results" / "test" / "records.parquet").read_bytes()
    shutil.rmtree(project / "cache")
    shutil.rmtree(project / "results")
    run(project, image_folder, ["jpeg", "shades"])
    assert (project / "results" / "test" / "records.parquet").read_bytes() == resumed


@pytest.mark.slow
def test_a_dataset_that_cannot_be_had_is_on_the_page_and_is_tried_again(project, image_folder, monkeypatch):
    monkeypatch.delenv("RDBENCH_MIRROR", raising=False)
    output = run(project, image_folder, ["jpeg"], "clic_subset")  # a set that only a mirror holds
    assert "clic_subset skipped" in output
    page = (project / "results" / "test" / "report" / "index.html").read_text()
    assert "RDBENCH_MIRROR" in page
    assert jobs(run(project, image_folder, ["jpeg"], "clic_subset"))["fetch"] == 1


RULES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_every_value_that_reaches_a_shell_is_quoted(path):
    text = path.read_text()
    commands = [node.value for node in _strings_of_shell(text)]
    assert commands or "shell:" not in text
    values = [value for command in commands for value in re.findall(r"\{([^{}]+)\}", command)]
    assert values == [value for value in values if value.endswith(":q")]


def _strings_of_shell(text: str):
    """The commands of a Snakefile: the text literals below each `shell:`."""
    for block in re.findall(r"^ +shell:\n((?: +\"[^\n]*\n)+)", text, re.M):
        yield ast.parse("(" + " ".join(line.strip() for line in block.splitlines()) + ")", mode="eval").body


HOSTILE = 'it\'s a "test"; touch pwned #\n$(touch pwned) `touch pwned` {params.run}'


@pytest.mark.slow
def test_a_configuration_s_texts_are_never_run(project, image_folder):
    """A quote, a space, a semicolon, a newline and a command in every key that may hold free text."""
    folder = image_folder.rename(image_folder.with_name(HOSTILE.replace("\n", " ")))
    settings = {
        "name": "test",
        "datasets": [f"folder:{folder}"],
        "codecs": ["jpeg", "webp"],
        "leave_out": {"webp": HOSTILE},
        "anchors": ["jpeg"],
        "container": "it's;pwned#",  # Snakemake refuses white space and braces there itself
        "studies": [],
        "training": {"data": [HOSTILE], "validation": [HOSTILE]},
    }
    (project / "config" / "test.yaml").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "config/test.yaml"]
    done = subprocess.run(
        [*command, "--", "results/test/bd.csv"],
        cwd=project,
        env={**shell(), "RDBENCH_CACHE": str(project / "cache")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    table = pd.read_csv(project / "results" / "test" / "records.csv")
    assert table[table.codec == "webp"].reason.iloc[0] == f"left out by the configuration: {HOSTILE}"
    assert set(table[table.codec == "jpeg"].status) == {"ok"}
    assert not list(project.rglob("pwned"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", HOSTILE),
        ("name", "kodak\n"),
        ("datasets", [HOSTILE]),
        ("codecs", [HOSTILE]),
        ("leave_out", {HOSTILE: "no"}),
        ("anchors", ["jpeg", HOSTILE]),
        ("metrics", [HOSTILE]),
        ("studies", [HOSTILE]),
        ("device", HOSTILE),
        ("timeout_s", HOSTILE),
        ("scatter", HOSTILE),
        ("mem_mb", HOSTILE),
        ("study_images", HOSTILE),
        ("gallery_bpp", [HOSTILE]),
        ("timing", {"images": HOSTILE}),
        ("matrix", {"points": HOSTILE}),
        ("accept_failures", HOSTILE),
    ],
)
def test_keys_of_a_fixed_kind_refuse_any_other_text(key, value):
    """So no shell sees it."""
    import jsonschema
    import yaml

    from bench.workflow import plan

    schema = yaml.safe_load((ROOT / "config" / "schema" / "config.schema.yaml").read_text())
    config = {name: entry.get("default") for name, entry in schema["properties"].items() if "default" in entry}
    config |= {"datasets": ["sample"], key: value}
    with pytest.raises((jsonschema.ValidationError, UsageError)):
        jsonschema.validate(config, schema)
        plan(config, refresh=False)


def test_a_checkout_whose_path_has_a_space_and_an_apostrophe_runs_and_the_command_lines_codecs_name_the_run(
    project, image_folder, tmp_path
):
    home = tmp_path / "it's my place"
    home.mkdir()
    (home / "venv").symlink_to(sys.prefix)
    project = project.rename(home / "project")
    target = "results/folder-photos-jpeg/datasets/folder-photos.json"
    settings = [f"datasets=[folder:{image_folder}]", "codecs=[jpeg]", "studies=[]"]
    command = [str(home / "venv" / "bin" / "python"), "-m", "snakemake", "--cores", "1", target, "--config", *settings]
    environment = {**shell(), "PATH": "/usr/bin:/bin", "RDBENCH_CACHE": str(home / "cache")}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((project / target).read_text())["status"] == "ok"


def test_what_the_command_line_sets_is_meant_as_it_stands():
    """Snakemake merges mappings and leaves the numbers in them as text."""
    file = {"leave_out": {"vvc420": "slow"}, "timing": {"images": 1, "points": 1}, "gallery_bpp": [0.25]}
    merged = {"leave_out": {"vvc420": "slow"}, "timing": {"images": "2", "points": 1}, "gallery_bpp": ["0.5", "1"]}
    given_on_command_line(merged, {"leave_out": {}, "timing": {"images": "2"}, "gallery_bpp": ["0.5", "1"]})
    assert merged == {"leave_out": {}, "timing": {"images": 2, "points": 1}, "gallery_bpp": [0.5, 1]}
    untouched = dict(file)
    given_on_command_line(untouched, {"codecs": ["jpeg"]})
    assert untouched == file


@pytest.mark.parametrize(
    ("given", "file"),
    [({}, "sample"), ({"codecs": ["jpeg"]}, "sample"), ({"datasets": ["kodak"], "codecs": ["jpeg"]}, "kodak")],
)
def test_the_reductions_of_the_sample_run_are_for_the_sample_alone(given, file):
    path = default_config(given)
    assert path == f"config/{file}.yaml"
    assert ("points" in yaml.safe_load((ROOT / path).read_text())) == (file == "sample")


def test_a_dataset_that_is_not_there_ends_the_plan_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = {"datasets": ["folder:/nosuch"], "leave_out": {}, "codecs": ["jpeg"], "anchors": ["jpeg"]}
    with pytest.raises(UsageError, match="/nosuch is not a folder"):
        plan(settings)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["jpeg"], "expected CODEC=REASON, got 'jpeg'"),
        (["=why"], "expected CODEC=REASON"),
        (["jpeg=one", "jpeg=two"], "jpeg is named twice"),
        (["jpge=slow"], "(did you mean jpeg?)"),
        (["jpeg=slow", "--parts", "../../escaped"], "expected k-of-n"),
        (["jpeg=slow", "--parts", "3-of-2"], "expected k-of-n"),
    ],
)
def test_a_mistake_in_leave_out_writes_no_table(arguments, message, tmp_path, capsys):
    assert main(["leave-out", *arguments, "--dataset", "sample", "--folder", str(tmp_path / "parts")]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.parquet"))


def test_leave_out_writes_a_row_with_the_reason(tmp_path, capsys):
    out = str(tmp_path / "parts")
    assert main(["leave-out", "webp=a=b", "vvc420=slow", "--dataset", "sample", "--folder", out]) == 0
    assert "webp: a=b" in capsys.readouterr().out
    rows = records.read(*sorted((tmp_path / "parts").rglob("1-of-1.parquet")))
    found = [(row.codec, row.status, row.reason) for row in rows.itertuples()]
    assert found == [("vvc420", "skipped", "slow"), ("webp", "skipped", "a=b")]
