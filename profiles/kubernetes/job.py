"""The commands of Snakemake's executor cluster-generic for Kubernetes: submit a job script, and report its state.

python job.py submit --cpus 1 --memory-mb 2048 --gpus 0 --minutes 240 SCRIPT    prints the Job's name
python job.py status NAME                                                       prints running, success or failed
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

TEMPLATE = Path(__file__).with_name("job.yaml")


def manifest(script: str, cpus: int, memory_mb: int, gpus: int, minutes: int) -> dict[str, Any]:
    """job.yaml with a command and its resources: requests for the scheduler, limits where excess harms others."""
    job = yaml.safe_load(TEMPLATE.read_text())
    job["spec"]["activeDeadlineSeconds"] = 60 * minutes
    container = job["spec"]["template"]["spec"]["containers"][0]
    container["command"] = ["/bin/sh", script]
    memory = {"memory": f"{memory_mb}Mi"}
    gpu = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    container["resources"] = {"requests": {"cpu": str(cpus), **memory, **gpu}, "limits": {**memory, **gpu}}
    return job


def state(job: str) -> str:
    """running, success or failed, from the output of `kubectl get job --output json`; empty if the Job is gone."""
    if not job.strip():
        return "failed"
    conditions = json.loads(job).get("status", {}).get("conditions", [])
    true = {condition["type"] for condition in conditions if condition["status"] == "True"}
    return "success" if "Complete" in true else "failed" if "Failed" in true else "running"


def kubectl(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["kubectl", *words], input=text, stdout=subprocess.PIPE, text=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    submit = commands.add_parser("submit")
    for name in ("cpus", "memory-mb", "gpus", "minutes"):
        submit.add_argument(f"--{name}", type=int, required=True)
    submit.add_argument("script")
    status = commands.add_parser("status")
    status.add_argument("name")
    args = vars(parser.parse_args())
    if args.pop("command") == "submit":
        done = kubectl("create", "--filename=-", "--output=name", text=json.dumps(manifest(**args)))
        print(done.stdout.strip().removeprefix("job.batch/"))
        return done.returncode
    done = kubectl("get", "job", args["name"], "--ignore-not-found", "--output=json")
    if done.returncode:  # the API server is unreachable; the Job itself continues
        print(
            f"status of {args['name']}: kubectl exited with {done.returncode}; assumed to be running", file=sys.stderr
        )
    print("running" if done.returncode else state(done.stdout))
    return 0


if __name__ == "__main__":
    sys.exit(main())
