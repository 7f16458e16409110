"""Past one machine: what the cluster profiles ask for, what the containers hold, and what the cost table says.

tests/cluster/run.py proves it on a real SLURM; RDBENCH_TEST_SLURM=1 runs it from here. Without it, and where SLURM is
installed, a cluster of two nodes is started and one of them lost. Kubernetes is represented by a kubectl that runs a
Job's command on this machine: all of the profile and of Snakemake's side is the real thing.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import job  # of profiles/kubernetes; this and the next two by pyproject.toml's pythonpath
import pandas as pd
import pytest
import run as proof
import slurm
import yaml
from conftest import ROOT, shell
from snakemake.utils import validate

import bench.workflow
from bench.files import temp_path

DOCKERFILE, DEFINITION = ROOT / "containers" / "Dockerfile", ROOT / "containers" / "rdbench.def"
NEEDS_SLURM = pytest.mark.skipif(
    bool(slurm.missing()) or bool(os.geteuid()),
    reason=f"needs root and SLURM: apt-get install {' '.join(slurm.PACKAGES)}",
)

# Snakemake's status checks are 40 s apart; jobs that SLURM calls failed at the first one end the run.
SBATCH = """
    #!/bin/sh
    echo "$@" | tr '\\n' ' ' >> "$RECORD"; echo >> "$RECORD"
    wc -l < "$RECORD"
"""
SACCT = """
    #!/bin/sh
    for job in $(seq 1 $(wc -l < "$RECORD")); do echo "$job|FAILED"; done
"""
SINFO = """
    #!/bin/sh
    echo 'main*'
"""

KUBECTL = """
    #!{python}
    import json, os, pathlib, subprocess, sys
    folder = pathlib.Path(os.environ["RECORD"])
    if sys.argv[1] == "create":
        job = json.load(sys.stdin)
        name = f"rdbench-{{len(list(folder.glob('*.json')))}}"
        (folder / f"{{name}}.json").write_text(json.dumps(job))
        words = job["spec"]["template"]["spec"]["containers"][0]["command"]
        if name == "rdbench-0":
            words = ["false"]  # the first pod is evicted
        then = f'"$@"; echo $? > {{folder}}/{{name}}.part; mv {{folder}}/{{name}}.part {{folder}}/{{name}}.code'
        out = open(folder / f"{{name}}.out", "w")
        subprocess.Popen(["sh", "-c", then, "sh", *words], stdout=out, stderr=out, start_new_session=True)
        print(f"job.batch/{{name}}")
    elif sys.argv[1] == "get":
        code = folder / f"{{sys.argv[3]}}.code"
        done = [] if not code.exists() else ["Failed" if int(code.read_text()) else "Complete"]
        print(json.dumps({{"status": {{"conditions": [{{"type": kind, "status": "True"}} for kind in done]}}}}))
"""


def settings(image_folder: Path, **others) -> dict:
    return {"name": "cluster", "datasets": [f"folder:{image_folder}"], "codecs": ["jpeg"], "scatter": 2, **others}


def programs(folder: Path, **sources: str) -> dict[str, str]:
    """The environment of a shell that finds programs with these sources first; RECORD names ``folder``."""
    (folder / "bin").mkdir(parents=True)
    for name, source in sources.items():
        path = folder / "bin" / name
        path.write_text(textwrap.dedent(source).lstrip())
        path.chmod(0o755)
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    return {**os.environ, "PATH": path, "USER": "nobody", "RECORD": str(folder)}


def finished(folder: Path, environment: dict[str, str], *options: str) -> str:
    """What Snakemake says in the end; the test fails if it does."""
    process = proof.snakemake(folder, environment, *options)
    code = process.wait(timeout=300)
    log = (folder / "snakemake.log").read_text()
    assert code == 0, log
    return log


def test_the_slurm_profile_asks_for_memory_time_gpus_and_whole_nodes(tmp_path, image_folder):
    pytest.importorskip("snakemake_executor_plugin_slurm", reason="needs the extra rdbench[cluster]")
    codecs = ["jpeg", "mean_scale"] if bench.workflow.all_codec_states()["mean_scale"].available else ["jpeg"]
    folder = tmp_path / "project"
    folder.mkdir()
    proof.project(folder, settings(image_folder, codecs=codecs, device="cuda", mem_mb=3000, studies=[]))
    environment = programs(tmp_path / "slurm", sbatch=SBATCH, sacct=SACCT, sinfo=SINFO, scancel="#!/bin/sh\n")
    environment["RECORD"] = str(tmp_path / "submitted")
    finished(folder, environment, "--cores", "1", "--", "results/cluster/datasets/folder-photos.json")
    options = ("--profile", "profiles/slurm", "--retries", "0", "--slurm-init-seconds-before-status-checks", "1")
    process = proof.snakemake(folder, environment, *options)
    assert process.wait(timeout=120) == 1  # every job is called failed
    calls = (tmp_path / "submitted").read_text().splitlines()
    by_rule = {rule: [call for call in calls if f"rule_{rule}_" in call] for rule in ("code", "time")}
    assert len(by_rule["code"]) == 2 * (len(codecs) + 2) and len(by_rule["time"]) == len(codecs) + 2
    assert all("--mem 3000 " in call and "-t 240 " in call for call in by_rule["code"])
    assert all("--exclusive" in call for call in by_rule["time"])
    assert not any("--exclusive" in call for call in by_rule["code"])
    for call in calls:
        assert ("--gpus=1" in call) == ("mean_scale" in call), call
        assert "--cpus-per-task=1" in call and "--no-requeue" in call


def test_kubernetes_jobs_give_the_records_of_a_local_run_and_an_evicted_pod_is_made_again(tmp_path, image_folder):
    pytest.importorskip("snakemake_executor_plugin_cluster_generic", reason="needs the extra rdbench[cluster]")
    environment = programs(tmp_path / "kubectl", kubectl=KUBECTL.format(python=sys.executable))
    target = ("--", "results/cluster/records.parquet")
    runs = {"local": ("--cores", "2"), "remote": ("--profile", "profiles/kubernetes", "--latency-wait", "5")}
    for name, options in runs.items():
        (tmp_path / name).mkdir()
        proof.project(tmp_path / name, settings(image_folder))
        finished(tmp_path / name, environment, *options, *target)
    local, remote = (tmp_path / name / "results" / "cluster" for name in runs)
    assert (local / "records.parquet").read_bytes() == (remote / "records.parquet").read_bytes()
    jobs = [json.loads(path.read_text()) for path in (tmp_path / "kubectl").glob("*.json")]
    assert len(jobs) == 2 * 3 + 1  # jpeg and the controls in two parts each, one of them twice
    memory = sorted(job["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] for job in jobs)
    assert memory == ["2048Mi"] * 6 + ["4096Mi"]


def test_a_kubernetes_job_has_the_limits_of_the_rule():
    made = job.manifest("/work/run/script.sh", cpus=2, memory_mb=2048, gpus=1, minutes=5)
    template = yaml.safe_load((ROOT / "profiles" / "kubernetes" / "job.yaml").read_text())
    assert made["metadata"] == template["metadata"] and made["spec"]["activeDeadlineSeconds"] == 300
    (container,) = made["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["/bin/sh", "/work/run/script.sh"]
    assert container["resources"]["limits"] == {"memory": "2048Mi", "nvidia.com/gpu": "1"}
    assert container["resources"]["requests"]["cpu"] == "2"
    assert job.manifest("s", cpus=1, memory_mb=1, gpus=0, minutes=1)["spec"]["template"]["spec"]["containers"][0][
        "resources"
    ]["limits"] == {"memory": "1Mi"}
    assert [job.state(text) for text in ("", "{}", '{"status": {"active": 1}}')] == ["failed", "running", "running"]


@pytest.mark.slow
def test_a_job_on_another_machine_leaves_the_files_that_decide_what_runs_again(tmp_path, image_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = settings(image_folder)
    validate(config, ROOT / "config" / "schema" / "config.schema.yaml")
    bench.workflow.plan(config, refresh=False)
    assert not (tmp_path / "results").exists()
    bench.workflow.plan(config)
    assert (tmp_path / "results" / "cluster" / "status" / "jpeg.json").exists()


def test_a_plan_asks_for_gpus_once(tmp_path, monkeypatch, image_folder):
    monkeypatch.chdir(tmp_path)
    config = settings(image_folder, codecs="all")
    validate(config, ROOT / "config" / "schema" / "config.schema.yaml")
    asked = []
    monkeypatch.setattr(bench.workflow, "usable_gpus", lambda: asked.append(1) or ["a GPU"])
    plan = bench.workflow.plan(config)
    assert {plan.gpus_of(codec) for codec, _ in plan.pairs} <= {0, 1}
    assert len(asked) <= 1


def test_processes_of_one_number_on_two_machines_write_different_files(monkeypatch, tmp_path):
    mine = temp_path(tmp_path / "piece")
    monkeypatch.setattr("socket.gethostname", lambda: "another")
    assert mine != temp_path(tmp_path / "piece") and mine.name.endswith(".part")


def test_both_containers_install_the_lock():
    install = r"^ *(?:RUN )?((?:python -m|uv) pip install .*)"
    docker, apptainer = (re.findall(install, path.read_text(), re.M) for path in (DOCKERFILE, DEFINITION))
    assert len(docker) == 3 and docker[-1].endswith("-c requirements.lock -e '.[learned,cluster]'")
    assert [line.replace("$TORCH_INDEX", "") for line in docker] == [
        line.replace("{{ TORCH_INDEX }}", "") for line in apptainer
    ]
    bases = [re.findall(r"^(?:FROM|From:) (\S+)", path.read_text(), re.M) for path in (DOCKERFILE, DEFINITION)]
    assert bases[0] == bases[1] and re.fullmatch(r"python:3\.11\.\d+-slim-\w+", bases[0][0])
    extras = yaml.safe_load((ROOT / "config" / "schema" / "config.schema.yaml").read_text())["properties"]
    assert extras["container"]["default"] == "containers/rdbench.sif"
    locked = (ROOT / "requirements.lock").read_text()
    assert "\nsnakemake-executor-plugin-slurm==" in locked and "\nsnakemake-executor-plugin-cluster-generic==" in locked


def test_both_containers_hold_all_that_a_run_reads():
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text().splitlines()
    kept = {path.name for line in ignored if line.startswith("!") for path in ROOT.glob(line[1:])}
    files = DEFINITION.read_text().split("%files", 1)[1].split("%post", 1)[0].split()
    copied = {word for word in files if word != "/opt/rdbench/"}
    specifications = {path.name for path in ROOT.glob("[!.]*.yaml")}
    needed = {"Snakefile", "bench", "codecs_wrappers", "config", "profiles", "rules", *specifications}
    assert needed | {"pyproject.toml", "requirements.lock", "README.md", "LICENSE"} == copied
    assert copied <= kept | {"mkdocs.yml"}


def test_the_cost_table_on_the_page_is_what_the_script_prints():
    command = [sys.executable, "docs/cluster_cost.py"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, env=shell())
    shown = (ROOT / "docs" / "cluster.md").read_text().splitlines()
    printed = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(printed) == 8 and not [line for line in printed if line not in shown]
    costs = pd.read_csv(ROOT / "docs" / "cluster_cost.csv")
    assert (costs.cpu_s_per_mpixel > 0).all() and costs.machine.nunique() == 1


@NEEDS_SLURM
def test_a_slurm_of_two_nodes_starts_loses_one_and_ends(tmp_path):
    with slurm.Slurm(tmp_path / "slurm") as cluster:
        assert cluster.command("srun", "-n1", "--gpus=1", "printenv", "SLURMD_NODENAME").split() == ["node2"]
        cluster.lose_node("node2")
        deadline = time.monotonic() + 60
        while "down" not in cluster.command("sinfo", "-h", "-n", "node2", "-o", "%t"):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert cluster.command("srun", "-n1", "printenv", "SLURMD_NODENAME").split() == ["node1"]
        processes = list(cluster.processes.values())
    assert all(process.poll() is not None for process in processes)


@NEEDS_SLURM
@pytest.mark.skipif(not os.environ.get("RDBENCH_TEST_SLURM"), reason="ten minutes: RDBENCH_TEST_SLURM=1 runs it")
def test_the_workflow_through_a_real_slurm_with_a_job_and_a_node_killed():
    done = subprocess.run([sys.executable, "tests/cluster/run.py"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "PASSED" in done.stdout, done.stdout + done.stderr
