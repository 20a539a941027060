"""``python -m br3.orchestrator COMMON_DIR RUN BUILD``: started by the dispatcher, one process per build."""

import sys
from pathlib import Path

from br3.orchestrator.building import orchestrate

if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python -m br3.orchestrator COMMON_DIR RUN BUILD (br3 run starts it)")
    sys.exit(orchestrate(Path(sys.argv[1]), sys.argv[2], sys.argv[3]))
