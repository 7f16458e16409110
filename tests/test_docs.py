"""The documentation is true: its commands run, or at least exist, and the site builds without a warning.

A block that begins with `# needs:` is not run (but for `[learned]`, where torch is installed): its commands' names and
options are checked. The others run, page by page, in a copy of the project whose set `sample` is two small crops.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from conftest import ROOT
from docpages import DOCS, LEARNED, blocks, inline_commands, pages
from docproject import Project

from bench.cli import parser

HAS_TORCH = importlib.util.find_spec("torch") is not None and importlib.util.find_spec("compressai") is not None
ALL_BLOCKS = [block for page in pages() for block in blocks(page)]
REPORT, COSTS = DOCS / "tutorial" / "first-report.md", DOCS / "reproduce" / "index.md"
# The report on the sample is made in the background while other pages run; what reads it comes after it.
LATE = {block.page: None for block in ALL_BLOCKS if block.runs and "sample" in block.text}
EARLY = {block.page: None for block in ALL_BLOCKS if block.runs and block.page not in {*LATE, COSTS}}
RUN_PAGES = [*EARLY, REPORT, *(page for page in LATE if page != REPORT)]
SLOW = {f"docs/tutorial/your-{name}.md" for name in ("network", "weights")}
SLOW |= {str(page.relative_to(ROOT)) for page in LATE}  # test_workflow.py has the pipeline in `make test`
SLOW |= {f"docs/{name}.md" for name in ("learned", "anchors", "exchange", "metrics", "json")}
PROGRAMS = {
    "python",
    "python3",
    "pip",
    "git",
    "make",
    "magick",
    "cat",
    "ls",
    "cp",
    "mv",
    "rm",
    "mkdir",
    "export",
    "true",
    "uv",
}
PROGRAMS |= {".", "exit", "bash", "apptainer", "cd", "docker", "gh", "mkdocs"}
NUMBER = re.compile(r"\b[0-9a-f]{12}\b|[-+]?\d+(\.\d+)?| +")


@pytest.fixture(scope="module")
def project(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("docs") / "project")
    if "not slow" not in request.config.option.markexpr:  # else the pages that wait for it are left out
        (pipeline,) = (
            line for block in blocks(REPORT) if block.runs for line in block.text.splitlines() if "snakemake" in line
        )
        project.start(pipeline)
    yield project
    project.close()


def slow_or_not(page: Path) -> Any:
    """The page as a parameter; marked slow where networks are trained on it, or its codecs are many."""
    name = str(page.relative_to(ROOT))
    return pytest.param(page, id=name, marks=[pytest.mark.slow] if name in SLOW else [])


@pytest.mark.parametrize("page", [slow_or_not(page) for page in RUN_PAGES])
def test_the_commands_of_a_page_run_and_print_what_it_shows(page, project):
    for block in blocks(page):
        if not block.runs or (block.needs == LEARNED and not HAS_TORCH):
            continue
        printed = project.run(block)
        if block.output:
            on_sample = "sample" in block.text  # two crops here, other numbers
            assert _comparable(printed, on_sample) == _comparable(block.output, on_sample), f"{block} prints\n{printed}"


def _comparable(text: str, any_numbers: bool) -> list[str]:
    """The lines of an output without times, or without any numbers."""
    text = NUMBER.sub(" ", text) if any_numbers else re.sub(r"\d+\.\d+ s\b", "T s", text)
    return [line.rstrip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("block", ALL_BLOCKS, ids=str)
def test_every_command_and_option_of_a_block_exists(block):
    for words in block.commands():
        check(words)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_sentence_exists(page):
    for code in sorted(inline_commands(page)):
        check(shlex.split(code.replace("...", "")), mention=" --" not in code)


def check(words: list[str], mention: bool = False) -> None:
    """Fails for a program, command, option, rule, file or setting that does not exist. mention: without arguments."""
    if words[0] == "rdbench":
        check_rdbench(words[1:], mention)
    elif words[0] == "snakemake":
        check_snakemake(words[1:])
    elif words[0] == "pytest":
        assert all((ROOT / word).exists() for word in words[1:] if word.startswith("tests/"))
    else:
        written = words[0].endswith((".py", ".sh", ".yaml", ".csv"))  # by a here-document
        assert written or words[0] in PROGRAMS, f"{words[0]} is none of {sorted(PROGRAMS)}"
        for target in words[1:] if words[0] == "make" else ():
            assert "=" in target or re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M), target


def check_rdbench(arguments: list[str], mention: bool) -> None:
    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages), contextlib.redirect_stdout(messages):
            PARSER.parse_args(arguments)
    except SystemExit as exit:
        missing = "the following arguments are required" in messages.getvalue()
        assert exit.code == 0 or (mention and missing), f"rdbench {shlex.join(arguments)}: {messages.getvalue()}"


def check_snakemake(arguments: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    pipeline = "".join(path.read_text() for path in (ROOT / "Snakefile", *ROOT.glob("rules/*.smk")))
    known = set(yaml.safe_load((ROOT / "config/schema/config.schema.yaml").read_text())["properties"])
    args = get_argument_parser().parse_args(arguments)
    for setting in args.config or ():
        assert setting.split("=")[0] in known, setting
    for file in args.configfile or ():
        assert (ROOT / file).is_file(), file
    for profile in (*(args.profile or ()), *filter(None, [args.workflow_profile])):
        assert (ROOT / str(profile)).is_dir(), profile
    for target in args.targets or ():
        assert re.search(rf"^rule {re.escape(str(target))}:", pipeline, re.M) or is_named(str(target)), target


def is_named(target: str) -> bool:
    """Whether a rule made in a loop has this name: of a model, a figure, or a paper's figures."""
    from codecs_wrappers.learned.training import config

    figures = [figure["name"] for figure in yaml.safe_load((ROOT / "figures.yaml").read_text())["figures"]]
    papers = {f"{name.split('_')[0]}_figures" for name in figures}
    return target in {*figures, *papers} or target.removeprefix("train_") in config.names()


PARSER = parser(families=True)


def test_the_site_builds_without_a_warning(tmp_path):
    pytest.importorskip("mkdocs", reason="needs mkdocs: pip install -e '.[docs]'")
    pytest.importorskip("material", reason="needs mkdocs-material: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "true"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    built = {path.relative_to(tmp_path / "site").with_suffix(".md") for path in (tmp_path / "site").rglob("*.html")}
    assert {page.relative_to(DOCS) for page in pages()[1:]} <= built


def test_links_of_the_readme_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_costs_on_the_page_are_those_the_script_prints(project):
    if not HAS_TORCH:
        pytest.skip("needs the extra rdbench[learned]")
    (block,) = (block for block in blocks(COSTS) if block.runs)
    shown = [line for line in COSTS.read_text().splitlines() if line.startswith("|")]
    printed = [line for line in project.run(block).splitlines() if line.startswith("|")]
    assert printed and not [line for line in printed if line not in shown]


def test_the_table_of_stanhs_trainings_is_that_of_their_curves():
    learned, table = ROOT / "codecs_wrappers" / "learned", (DOCS / "stanh.md").read_text()
    manifest = yaml.safe_load((learned / "weights.yaml").read_text())
    row = r"^\| `(stanh_[\w.]+)` \([^)]+\) \|" + r" ([^|\n]+) \|" * 8 + "$"
    rows = {name: cells for name, *cells in re.findall(row, table, re.M)}
    assert set(rows) == {name for name in manifest if name.startswith("stanh_")}
    for name, (weight, network, steps, _, *numbers) in rows.items():
        curve = pd.read_csv(learned / "weights" / "curves" / f"{name}.csv").query("kind == 'validation'")
        best = curve.loc[curve.loss.idxmin()]
        assert (float(weight), network) == (manifest[name]["rate_weight"], manifest[name]["base"]["name"])
        assert int(steps) == best.step
        expected = [curve.loss.iloc[0], best.loss, best.bpp, best.psnr_db]
        assert list(map(float, numbers)) == pytest.approx(expected, rel=2e-4), name


@pytest.mark.parametrize("paper", ["plonq", "stanh", "resgdn"])
def test_the_hours_and_costs_of_a_paper_are_those_of_the_table_of_all(paper):
    stated = re.findall(r"\| (\d+ \| \d+) \|", (COSTS.parent / f"{paper}.md").read_text())
    assert stated and all(f"| {cells} |" in COSTS.read_text() for cells in stated)
