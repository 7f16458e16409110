"""One small file per codec family; `bench.discovery.discover` finds them by listing this folder.

A codec author who keeps wrappers in a repository of their own names its folder in RDBENCH_WRAPPERS (several, joined as
in PATH): its files are found along with these.
"""

import os
from pathlib import Path

_others = [str(Path(folder).resolve()) for folder in os.environ.get("RDBENCH_WRAPPERS", "").split(os.pathsep) if folder]
if _others:
    os.environ["RDBENCH_WRAPPERS"] = os.pathsep.join(_others)  # worker processes, started in other folders, read it too
__path__ += _others
