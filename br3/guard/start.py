"""Where hooks start the guard: ``check`` behind a few lines, since Python compiles the script itself anew each time."""

import os
import sys

if __name__ == "__main__":
    # -I takes the script's directory off the path. Last, so that nothing beside br3 hides the standard library.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    try:
        from br3.guard.check import main
    except Exception as error:
        print(f"br3: the guard cannot be loaded: {error}. Mend: install br3 again", file=sys.stderr)
        sys.exit(2)
    sys.exit(main(sys.argv[1:]))
