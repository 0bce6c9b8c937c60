"""`python -m asrkit`, which is what torchrun starts."""

from asrkit.cli import main

if __name__ == "__main__":
    main(prog_name="asrkit")
