"""Runs the command line."""

from toolkit_common.cli.app import main

main()
