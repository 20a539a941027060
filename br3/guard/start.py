"""Where hooks start the guard: ``check`` behind a few lines, since Python compiles the script itself anew each time."""

import os
import sys

if __name__ == "__main__":
    # -I takes the script's directory off the path. Last, so that nothing beside br3 hides the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from br3.guard.check import main

    sys.exit(main(sys.argv[1:]))
