"""`bitsd`. Imports nothing of the project before it is sure that `daemon` is ours (docs/architecture.md)."""

import sys
from importlib.metadata import packages_distributions


def main() -> None:
    """Entry point; exits with 0 after a clean stop, 1 when the service cannot run, 2 on bad usage or configuration."""
    others = sorted(set(packages_distributions().get("daemon", [])) - {"bitsd"})
    if others:
        sys.exit(
            f"bitsd: cannot start: the package {', '.join(others)} installed its own 'daemon' into this environment;"
            " install bitsd into an environment of its own (pipx install bitsd)"
        )
    from daemon.command import run  # noqa: PLC0415 - see above

    run()


if __name__ == "__main__":
    main()
