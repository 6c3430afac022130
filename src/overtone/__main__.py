"""The command's first line: so little that Ctrl-C finds nothing to break off before it is heard."""

import sys


def main() -> None:
    """Run the command line; see :func:`overtone.cli.main`."""
    try:
        from overtone.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
