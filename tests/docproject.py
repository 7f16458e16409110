"""A copy of the project in which the documentation's commands run, with small settings."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from itertools import dropwhile
from pathlib import Path

import yaml
from conftest import ROOT, shell
from docpages import ASSIGNMENT, Block
from PIL import Image
from skimage import data

# Runs `rdbench` and Python files in forks of a process that has imported what takes long, one JSON request a line.
SERVER = """
import json, os, runpy, sys
try:
    import torch, compressai.models
except ImportError:
    pass
import bench.cli, bench.metrics, bench.rd.bd_table, pandas
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
        self.started: dict[str, subprocess.Popen[str]] = {}

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

    def start(self, line: str) -> subprocess.Popen[str]:
        """A line of shell, begun; :meth:`run` waits for it when its block comes."""
        command = ["bash", "-euo", "pipefail", "-c", line]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.started[line] = subprocess.Popen(command, cwd=self.folder, env=self.environment, **pipes)
        return self.started[line]

    def run(self, block: Block) -> str:
        """What the block prints to standard output. An error in it is one here."""
        output = ""
        for line in [block.text] if "<<" in block.text else block.text.replace("\\\n", " ").splitlines():
            words = [] if "<<" in line else shlex.split(line, comments=True)
            plain = list(dropwhile(ASSIGNMENT.match, words))
            settings = dict(word.split("=", 1) for word in words[: len(words) - len(plain)])
            if plain[:1] == ["python"] and plain[1].endswith(".py"):
                plain.pop(0)
            is_ours = plain and (plain[0] == "rdbench" or plain[0].endswith(".py"))
            if is_ours and set(settings) <= {"RDBENCH_WEIGHTS"} and not {"&&", "||", "|"} & set(plain):
                output += self._serve(block, plain, settings)
            elif words or "<<" in line:
                process = self.started.pop(line, None) or self.start(line)
                printed, errors = process.communicate(timeout=900)
                assert process.returncode == 0, f"{block}: {line}\n{printed[-1000:]}{errors[-3000:]}"
                output += printed
        tutorial, whole = (self.folder / "results" / name for name in ("sample-jpeg-webp", "sample"))
        if (tutorial / "records.parquet").is_file() and not whole.exists():
            whole.symlink_to(tutorial.name)  # pages that read a run of the configuration file get the tutorial's
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
        """End every process that was begun."""
        for process in self.started.values():
            process.kill()
            process.communicate()
        if self.server:
            self.server.communicate()
