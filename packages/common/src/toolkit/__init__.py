"""The command line as a module, `python -m toolkit`; the library is in `toolkit_common`."""
