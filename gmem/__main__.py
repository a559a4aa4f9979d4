"""`python -m gmem` is the command `gmem`."""

from gmem.cli import main

if __name__ == "__main__":
    main(prog_name="gmem")
