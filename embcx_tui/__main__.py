"""`python -m embcx_tui` is `embcx-tui`."""

from embcx_tui.cli import main

if __name__ == "__main__":
    main()
