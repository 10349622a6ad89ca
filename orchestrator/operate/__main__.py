"""The console process: `python -m orchestrator.operate`."""

from orchestrator.operate.console import main

if __name__ == "__main__":
    main()
