"""Runs the command line."""

from toolkit_common.__main__ import main

main()
