"""What the rules share: where jobs find their programs (next to this Python, or in the container), cores, inputs."""

import shlex
import sys
from pathlib import Path

from snakemake.settings.types import DeploymentMethod

from bench.rd.published import imported_files

if DeploymentMethod.APPTAINER not in workflow.deployment_settings.deployment_method:
    programs = (
        shlex.quote(f"{sys.prefix}/bin").replace("{", "{{").replace("}", "}}")
    )  # the prefix is a format string
    shell.prefix(f"export PATH={programs}:$PATH; ")

# A cluster's executor counts jobs, not cores: there a job that must run alone asks for one core, and profiles/slurm
# gives it a whole node.
ALL_CORES = 1 if workflow.remote_exec else workflow.resource_settings.cores or 1


# Used only with --software-deployment-method apptainer; its recipe is in containers/.
container: config["container"]


def needed_records(wildcards):
    """The parts of the records that a figure is drawn from."""
    return [
        RUN / "parts" / dataset / codec / f"{part}.parquet"
        for codec, dataset in PLAN.needs(wildcards.figure).pairs
        for part in PARTS
    ]


def files(*patterns):
    """The files that match, without what Python leaves beside them."""
    found = {path for pattern in patterns for path in Path().glob(pattern)}
    return sorted(
        str(path)
        for path in found
        if path.is_file() and "__pycache__" not in path.parts
    )
