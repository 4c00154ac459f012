"""`python -m daemon.client` is `bitsctl`."""

from daemon.client.cli import main

if __name__ == "__main__":
    main()
