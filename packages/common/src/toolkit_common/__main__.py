"""Runs the command line, as a script and as `torchrun -m toolkit_common probe ...`.

Little but the standard library is imported before interrupts are heard.
"""

import sys

from toolkit_common.launched import (
    EXIT_INTERRUPTED,
    end_as_ctrl_c_does,
    is_main_process,
    was_interrupted,
)


def main() -> None:
    """Run the command line; Ctrl-C, SIGTERM and SIGHUP end it with a line and exit code 130."""
    end_as_ctrl_c_does()
    try:
        from toolkit_common.cli.app import main as carry_out

        carry_out()
    except (KeyboardInterrupt, Exception):  # what an import that was cut short raises is anything
        if not was_interrupted():
            raise
        if is_main_process():
            sys.stderr.write("interrupted\n")
        raise SystemExit(EXIT_INTERRUPTED) from None


if __name__ == "__main__":
    main()
