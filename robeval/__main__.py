"""`python -m robeval` is `robeval`."""

from robeval.cli import main

if __name__ == "__main__":
    main()
