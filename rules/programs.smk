"""Where the jobs find their programs: next to this Python, or in the container."""

import shlex
import sys

from snakemake.settings.types import DeploymentMethod

if DeploymentMethod.APPTAINER not in workflow.deployment_settings.deployment_method:
    programs = (
        shlex.quote(f"{sys.prefix}/bin").replace("{", "{{").replace("}", "}}")
    )  # the prefix is a format string
    shell.prefix(f"export PATH={programs}:$PATH; ")


# Used only with --software-deployment-method apptainer; its recipe is in containers/.
container: config["container"]
