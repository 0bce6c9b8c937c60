"""`python -m asrkit`, which is what torchrun starts."""

from asrkit.cli import main

main(prog_name="asrkit")
