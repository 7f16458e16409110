"""``python -m codecs_wrappers.learned.training NAME --data FOLDER ... --validation FOLDER ...``"""

import argparse
import sys

from bench.errors import RdbenchError, UsageError
from codecs_wrappers.learned.training import command

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m codecs_wrappers.learned.training", description=command.DESCRIPTION)
    command.add_arguments(parser)
    try:
        sys.exit(command.main(parser.parse_args()))
    except RdbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
