"""The command's first line: so little that Ctrl-C finds nothing to break off before it is heard."""

import sys


def main() -> None:
    """Run the command line; see :func:`overtone.cli.main`."""
    if sys.version_info < (3, 11):  # noqa: UP036  # from a clone, where no installer looks
        sys.exit("overtone needs Python 3.11 or newer, and this is %d.%d" % sys.version_info[:2])  # noqa: UP031
    try:
        from overtone.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
