"""`python -m tinymed`: the command without its script."""

from tinymed.cli import main

main()
