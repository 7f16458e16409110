"""The documentation is true: its commands run, or at least exist, and the site builds without a warning.

A block that begins with `# needs:` is not run (but for `[learned]`, where torch is installed): its commands' names and
options are checked. The others run, page by page, in a copy of the project whose set `sample` is two small crops.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import dropwhile
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, shell
from docpages import ASSIGNMENT, DOCS, LEARNED, Block, blocks, inline_commands, pages
from PIL import Image
from skimage import data

from bench.cli import parser

HAS_TORCH = importlib.util.find_spec("torch") is not None and importlib.util.find_spec("compressai") is not None
ALL_BLOCKS = [block for page in pages() for block in blocks(page)]
RUN_PAGES = sorted({block.page for block in ALL_BLOCKS if block.runs}, key=lambda page: page.name != "first-report.md")
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
}
PROGRAMS |= {".", "exit", "bash", "docker", "gh", "mkdocs"}
NUMBER = re.compile(r"\b[0-9a-f]{12}\b|[-+]?\d+(\.\d+)?| +")

# Runs `rdbench` and Python files in forks of a process that has imported what takes long, one JSON request a line.
SERVER = """
import json, os, runpy, sys
try:
    import torch, compressai.models
except ImportError:
    pass
import bench.cli, bench.metrics, bench.bd, pandas
for line in sys.stdin:
    request = json.loads(line)
    child = os.fork()
    if not child:
        os.environ.update(request["environment"])
        output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        errors = os.open(request["output"] + ".err", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1), os.dup2(errors, 2)
        code = 1
        try:
            sys.argv = request["words"]
            if sys.argv[0] == "rdbench":
                code = bench.cli.main(sys.argv[1:])
            else:
                code = runpy.run_path(sys.argv[0], run_name="__main__") and 0
        except SystemExit as exit:
            code = exit.code or 0
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Project:
    """A copy of the project to run a reader's commands in."""

    def __init__(self, folder: Path):
        self.folder = folder
        for name in (
            "bench",
            "codecs_wrappers",
            "tests/conftest.py",
            "docs/reproduce",
            "Snakefile",
            "profiles",
            "rules",
            "config",
        ):
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            copy(ROOT / name, folder / name)
        for path in ROOT.glob("*.yaml"):
            shutil.copy2(path, folder)
        self._make_small()
        paths = {
            "PYTHONPATH": str(folder),
            "RDBENCH_CACHE": str(folder / ".cache"),
            "RDBENCH_MIRROR": str(folder / "mirror"),
        }
        self.environment = {**shell(), **paths, "RDBENCH_DEVICE": "cpu"}
        self.environment |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
        self.server: subprocess.Popen[str] | None = None

    def _make_small(self) -> None:
        """The set `sample` is two crops, and a run draws one figure."""
        crops = {"chelsea": data.chelsea()[40:216, 100:292], "coffee": data.coffee()[100:265, 200:401]}
        (self.folder / "mirror" / "sample").mkdir(parents=True)
        for name, crop in crops.items():
            Image.fromarray(crop).save(self.folder / "mirror" / "sample" / f"{name}.png")
        sets = {"sample": {"title": "Two crops", "split": "test", "licence": "CC0"}}
        sets["sample"]["files"] = {f"{name}.png": None for name in crops}
        (self.folder / "datasets.yaml").write_text(yaml.safe_dump(sets))
        figures = yaml.safe_load((self.folder / "figures.yaml").read_text())
        figures["figures"] = [figure for figure in figures["figures"] if figure["name"] == "rd_psnr"]
        (self.folder / "figures.yaml").write_text(yaml.safe_dump(figures))
        run = {"datasets": ["sample"], "studies": [], "timing": {"points": 1, "repeats": 1}, "gallery_bpp": [0.5]}
        (self.folder / "config" / "sample.yaml").write_text(yaml.safe_dump(run))

    def run(self, block: Block) -> str:
        """What the block prints to standard output. An error in it is one here."""
        output = ""
        for line in [block.text] if "<<" in block.text else block.text.replace("\\\n", " ").splitlines():
            words = [] if "<<" in line else shlex.split(line, comments=True)
            plain = list(dropwhile(ASSIGNMENT.match, words))
            settings = dict(word.split("=", 1) for word in words[: len(words) - len(plain)])
            if plain[:1] == ["python"] and plain[1].endswith(".py"):
                plain.pop(0)
            if plain and (plain[0] == "rdbench" or plain[0].endswith(".py")) and not {"&&", "||", "|"} & set(plain):
                output += self._serve(block, plain, settings)
            elif words or "<<" in line:
                done = subprocess.run(
                    ["bash", "-euo", "pipefail", "-c", line],
                    **{
                        "cwd": self.folder,
                        "env": self.environment,
                        "text": True,
                        "capture_output": True,
                        "timeout": 300,
                    },
                )
                assert done.returncode == 0, f"{block}: {line}\n{done.stdout[-1000:]}{done.stderr[-3000:]}"
                output += done.stdout
        return output

    def _serve(self, block: Block, words: list[str], settings: dict[str, str]) -> str:
        if self.server is None:
            command = [sys.executable, "-c", SERVER]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.server = subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **pipes)
        output = self.folder / "output"
        request = {"words": words, "environment": settings, "output": str(output)}
        print(json.dumps(request), file=self.server.stdin, flush=True)
        code = int(self.server.stdout.readline())
        assert code == 0, f"{block}: {shlex.join(words)}: exit code {code}\n{output.with_suffix('.err').read_text()}"
        return output.read_text()

    def close(self) -> None:
        if self.server:
            self.server.communicate()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("docs") / "project")
    yield project
    project.close()


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
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
        assert words[0] in PROGRAMS or words[0].endswith((".py", ".sh")), f"{words[0]} is none of {sorted(PROGRAMS)}"
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
    if args.workflow_profile or args.profile:
        assert (ROOT / str(args.profile or args.workflow_profile)).is_dir()
    for target in args.targets or ():
        name = re.sub(r"^train_(?!all)\w.*", "train", str(target))
        assert re.search(rf"^rule {re.escape(name)}:", pipeline, re.M), f"no rule is called {target}"


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


def test_the_costs_on_the_page_are_those_the_script_prints(project):
    if not HAS_TORCH:
        pytest.skip("needs the extra rdbench[learned]")
    page = DOCS / "reproduce" / "index.md"
    (block,) = (block for block in blocks(page) if "cost.py" in block.text)
    shown = [line for line in page.read_text().splitlines() if line.startswith("|")]
    printed = [line for line in project.run(block).splitlines() if line.startswith("|")]
    assert printed and not [line for line in printed if line not in shown]
