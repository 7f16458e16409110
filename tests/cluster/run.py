"""Proof of the SLURM profile on a real SLURM: the sample through two nodes, with a job and a node killed on the way.

    python tests/cluster/run.py                  # a few quick codecs and a learned one, 5 to 10 minutes on two cores
    python tests/cluster/run.py --codecs all     # everything that config/sample.yaml runs

It needs Debian's or Ubuntu's packages slurm-wlm, slurmdbd, munge and mariadb-server (--install asks apt-get for them),
the extra rdbench[cluster], and root, as slurmd does. It starts a SLURM of its own on loopback (slurm.py), runs the
workflow through `--profile profiles/slurm`, kills -9 one running job, then a whole node, and holds the records against
those of a local run. Exit code 0 if they are the same file byte for byte, 1 if anything differs, 2 if something is
missing.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from slurm import PACKAGES, Slurm, missing

ROOT = Path(__file__).resolve().parents[2]
CODECS = ["jpeg", "spiht", "mean_scale"]  # the control codecs identity and grey always run
PIECES = 3  # that a job has to have finished before it is killed: its successor must find them
LIMIT_S = 6 * 3600


class Failed(Exception):
    """The proof found a difference, or could not be made."""


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def project(folder: Path, settings: dict) -> Path:
    """A folder to run in, with all of the checkout that the Snakefile names and a configuration ``cluster``."""
    specifications = [path.name for path in ROOT.glob("*.yaml")]
    for name in ("Snakefile", *specifications, "config", "profiles", "rules"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, folder / name)
    (folder / "config" / "cluster.yaml").write_text(json.dumps(settings))
    return folder


def snakemake(folder: Path, environment: dict[str, str], *options: str) -> subprocess.Popen[bytes]:
    """Snakemake started in a project, with a cache of its own; what it says goes to FOLDER/snakemake.log."""
    words = [sys.executable, "-m", "snakemake", "--configfile", "config/cluster.yaml", *options]
    path = os.pathsep.join([str(Path(sys.executable).parent), environment["PATH"]])
    environment = {**environment, "PATH": path, "RDBENCH_CACHE": str(folder / "cache")}
    environment.pop("RDBENCH_DEVICE", None)
    with open(folder / "snakemake.log", "ab") as log:
        return subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)


def finish(process: subprocess.Popen[bytes], folder: Path) -> None:
    try:
        code = process.wait(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        raise Failed(f"snakemake in {folder} did not end within {LIMIT_S} s") from None
    if code:
        lines = (folder / "snakemake.log").read_text(errors="replace").splitlines()[-40:]
        raise Failed(f"snakemake in {folder}: exit code {process.returncode}; its last lines:\n" + "\n".join(lines))


def tune_profile(folder: Path) -> None:
    """profiles/slurm, but looking at jobs early, keeping their logs, and taking times on the node with a GPU."""
    path = folder / "profiles" / "slurm" / "config.yaml"
    profile = yaml.safe_load(path.read_text())
    profile["slurm-init-seconds-before-status-checks"] = 5
    profile["slurm-keep-successful-logs"] = True
    profile["latency-wait"] = 10
    profile["set-resources"]["time"]["gpu"] = 1
    path.write_text(yaml.safe_dump(profile))


class Run:
    """The workflow in ``folder`` as it passes through SLURM."""

    def __init__(self, folder: Path, slurm: Slurm, dataset: str):
        self.folder, self.slurm, self.dataset = folder, slurm, dataset
        self.results = folder / "results" / "cluster"
        self.process = snakemake(folder, slurm.environment, "--profile", "profiles/slurm")

    def job_with_pieces(self, node: str = "", not_job: str = "") -> tuple[str, str, str]:
        """Id, node and "codec part" of a running coding job (on ``node``) with PIECES pieces done and more to do."""
        head = f"rule_code_wildcards_{self.dataset}_"
        while self.process.poll() is None:
            for line in self.slurm.command("squeue", "-h", "-t", "R", "-o", "%i %N %k").splitlines():
                job, where, comment = line.split(maxsplit=2)
                if not comment.startswith(head) or (node and where != node) or job == not_job:
                    continue
                codec, part = comment.removeprefix(head).rsplit("_", 1)
                if self._bitstreams(codec, part) >= PIECES and not self._done(codec, part):
                    return job, where, f"{codec} {part}"
            time.sleep(0.1)
        finish(self.process, self.folder)
        raise Failed("the workflow was over before a job could be killed: choose slower codecs")

    def _bitstreams(self, codec: str, part: str) -> int:
        images = json.loads((self.results / "datasets" / f"{self.dataset}.json").read_bytes())["images"]
        first, count = map(int, part.split("-of-"))
        folder = self.results / "bitstreams" / self.dataset / codec
        return sum(len(list(folder.glob(f"{image['name']}.*"))) for image in images[first - 1 :: count])

    def _done(self, codec: str, part: str) -> bool:
        return (self.results / "parts" / self.dataset / codec / f"{part}.parquet").exists()

    def stop(self) -> None:
        """Ends Snakemake where an error left it running."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def jobs(self) -> list[dict[str, str]]:
        """What SLURM's accounting knows of every job, and of every earlier try of a job it submitted again itself."""
        fields = "JobIDRaw,State,NodeList,Elapsed,AllocTRES,Comment"
        table = self.slurm.command("sacct", "-X", "--duplicates", "--parsable2", f"--format={fields}", "-S", "now-1day")
        return list(csv.DictReader(io.StringIO(table), delimiter="|"))

    def resumed(self, what: str) -> int:
        """How many pieces the job that followed a killed one says it took from the cache."""
        codec, part = what.split()
        logs = (self.folder / ".snakemake" / "slurm_logs" / "rule_code" / f"{self.dataset}_{codec}_{part}").glob(
            "*.log"
        )
        lines = [
            line for log in logs for line in log.read_text(errors="replace").splitlines() if "from the cache" in line
        ]
        return max((int(line.split(" from the cache")[0].rsplit(", ", 1)[1]) for line in lines), default=0)


def kill_job(run: Run) -> tuple[str, str]:
    """kill -9 to everything of one running job: SLURM calls it failed, Snakemake submits another."""
    job, node, what = run.job_with_pieces()
    victims = run.slurm.job_processes(job=job)
    for process in victims:
        process.kill()
    say(f"killed -9 job {job} ({what}) on {node}: {len(victims)} processes")
    return job, what


def kill_node(run: Run, not_job: str) -> tuple[str, str]:
    """The power failure of a node: SLURM finds it dead, Snakemake submits its job again."""
    job, node, what = run.job_with_pieces(node="node2", not_job=not_job)
    run.slurm.lose_node(node)
    say(f"lost {node} with job {job} ({what})")
    while "down" not in (state := run.slurm.command("sinfo", "-h", "-n", node, "-o", "%t")):
        time.sleep(0.5)
    say(f"SLURM calls {node} {state.strip()}; it comes back")
    run.slurm.start_node(node)
    return job, what


def check_accounting(jobs: list[dict[str, str]], failed: str, lost: str) -> None:
    """Each of the two jobs ended as it should have, once, and one other of the same work came to its end."""
    for job, expected in ((failed, "FAILED"), (lost, "NODE_FAIL")):
        rows = [row for row in jobs if row["JobIDRaw"] == job]
        after = [row["State"] for row in jobs if row["Comment"] == rows[0]["Comment"] and row["JobIDRaw"] != job]
        if [row["State"] for row in rows] != [expected] or after != ["COMPLETED"]:
            states = [row["State"] for row in rows]
            raise Failed(f"job {job}: expected {expected}, then one other COMPLETED; SLURM has {states}, then {after}")
    if not any(row["Comment"].startswith("rule_time") and "gres/gpu=1" in row["AllocTRES"] for row in jobs):
        raise Failed("no job that asked for `gpu=1` was given a GPU by SLURM")


def prove(folder: Path, settings: dict) -> None:
    local, remote = (project(folder / name, settings) for name in ("local", "slurm"))
    say(f"local run in {local}")
    begin = time.monotonic()
    finish(snakemake(local, dict(os.environ), "--cores", "2", "--", "results/cluster/records.parquet"), local)
    say(f"local records after {time.monotonic() - begin:.0f} s")
    tune_profile(remote)
    (folder / "daemons").mkdir()
    with Slurm(folder / "daemons") as slurm:
        say(f"SLURM {slurm.command('sinfo', '--version').split()[-1]}: two nodes on loopback, accounting in MariaDB")
        begin = time.monotonic()
        run = Run(remote, slurm, settings["datasets"][0])
        try:
            failed, failed_what = kill_job(run)
            lost, lost_what = kill_node(run, failed)
            finish(run.process, remote)
        finally:
            run.stop()
        say(f"workflow through SLURM after {time.monotonic() - begin:.0f} s, its page included")
        jobs = run.jobs()
        for row in jobs:
            print("  ".join(row.values()))
        check_accounting(jobs, failed, lost)
        for what in (failed_what, lost_what):
            if not (pieces := run.resumed(what)):
                raise Failed(f"the second try of {what} took nothing from the cache")
            say(f"the second try of {what} took {pieces} pieces from the cache")
        again = snakemake(remote, slurm.environment, "--profile", "profiles/slurm", "--dry-run")
        finish(again, remote)
    if "Nothing to be done" not in (remote / "snakemake.log").read_text().splitlines()[-1:][0]:
        raise Failed(f"a second run would have work to do: see the end of {remote / 'snakemake.log'}")
    files = [run / "results" / "cluster" / "records.parquet" for run in (local, remote)]
    if files[0].read_bytes() != files[1].read_bytes():
        raise Failed(f"the records differ: {files[0]} and {files[1]}")
    say(f"records equal, byte for byte: {files[0].stat().st_size} bytes; a second run has nothing to do")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the daemons end as well
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codecs", nargs="+", default=CODECS, help=f"names, or all ({' '.join(CODECS)})")
    parser.add_argument("--dataset", default="sample")
    parser.add_argument("--scatter", type=int, default=2, help="jobs for each codec (%(default)s)")
    parser.add_argument(
        "--folder", type=Path, help="an empty one, kept; a temporary one, kept only on failure, if absent"
    )
    parser.add_argument("--install", action="store_true", help="apt-get install what is missing")
    args = parser.parse_args()
    if args.install and missing():
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES], check=True)
    absent = missing()
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        absent.append("snakemake-executor-plugin-slurm (uv pip install -e '.[cluster]' -c requirements.lock)")
    if os.geteuid():
        absent.append("root")
    if absent:
        print(
            f"this proof needs {', '.join(absent)}; --install gets {' '.join(PACKAGES)} from apt-get", file=sys.stderr
        )
        return 2
    codecs = args.codecs if args.codecs != ["all"] else "all"
    settings = yaml.safe_load((ROOT / "config" / "sample.yaml").read_text())
    settings |= {"name": "cluster", "datasets": [args.dataset], "codecs": codecs, "scatter": args.scatter}
    if codecs != "all":
        settings["studies"] = []
    folder = args.folder or Path(tempfile.mkdtemp(prefix="rdbench-slurm-"))
    for name in ("local", "slurm"):
        (folder / name).mkdir(parents=True)
    try:
        prove(folder, settings)
    except (Failed, RuntimeError, subprocess.SubprocessError) as error:
        print(f"FAILED (all is kept in {folder}): {error}", file=sys.stderr)
        return 1
    if args.folder is None:
        shutil.rmtree(folder)
    print("PASSED")
    return 0


if __name__ == "__main__":
    sys.exit(main())
