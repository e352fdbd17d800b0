"""``python -m maskl`` is the command line."""

from maskl.cli.app import main

if __name__ == "__main__":
    main()
