"""``python -m br3``."""

from br3.cli import main

if __name__ == "__main__":
    main()
