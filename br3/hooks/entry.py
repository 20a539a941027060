"""Where hooks come in: ``python3 -I …/entry.py provision PATH``, ``push REMOTE URL``.

-I keeps the directory that a hook runs in off the path: a module of the repository must not take the place of ours.
"""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def main(words: list[str]) -> int:
    """Run one of them; its exit code."""
    from br3.errors import Br3Error

    try:
        if words[:1] == ["provision"] and len(words) == 2:
            from br3.hooks.background import provision

            return provision(words[1])
        if words[:1] == ["push"] and len(words) >= 2:
            from br3.hooks.pushing import push

            return push(words[1], sys.stdin.buffer.read())
        print(f"br3: provision PATH or push REMOTE URL was expected, seen: {' '.join(words)}", file=sys.stderr)
    except Br3Error as error:
        print(f"br3: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"next: {error.hint}", file=sys.stderr)
    except Exception as error:  # whatever it is, it must not look as if all had been well
        if os.environ.get("BR3_DEBUG") == "1":
            raise
        print(f"br3: {words[:1]} failed: {type(error).__name__}: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
