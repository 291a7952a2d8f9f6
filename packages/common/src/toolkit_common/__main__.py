"""Runs the command line as a module, so that `torchrun -m toolkit_common probe ...` works."""

from toolkit_common.cli.app import main

main()
