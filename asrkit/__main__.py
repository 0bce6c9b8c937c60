"""`python -m asrkit`, as torchrun starts it."""

from asrkit.cli import main

if __name__ == "__main__":
    main(prog_name="asrkit")
