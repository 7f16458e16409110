"""One small file per codec family; `bench.codec.discover` finds them by listing this folder.

A codec author who keeps wrappers in a repository of their own names its folder in RDBENCH_WRAPPERS (several, joined as
in PATH): its files are found beside these.
"""

import os

__path__ += [folder for folder in os.environ.get("RDBENCH_WRAPPERS", "").split(os.pathsep) if folder]
