"""Where the jobs find their programs: next to this Python, or in the container."""

import shlex
import sys

from snakemake.settings.types import DeploymentMethod

if DeploymentMethod.APPTAINER not in workflow.deployment_settings.deployment_method:
    programs = (
        shlex.quote(f"{sys.prefix}/bin").replace("{", "{{").replace("}", "}}")
    )  # the prefix is formatted
    shell.prefix(f"export PATH={programs}:$PATH; ")


# Used with --software-deployment-method apptainer only; containers/ has its recipe.
container: config["container"]
