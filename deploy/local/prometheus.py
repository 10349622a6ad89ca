"""The configuration of a Prometheus that watches a stack on this machine, written as text.

Starts nothing: whoever has a Prometheus gives it this file, and its rules and alerts lie beside
this package. The external label `console` is what the alerts' links begin with.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

MONITORING: Final = Path(__file__).parents[1] / "monitoring"
RULES: Final = (MONITORING / "rules.yml", MONITORING / "alerts.yml")
SCRAPED: Final = " metrics"  # what the names of addresses to scrape end in


def prometheus_yml(addresses: Mapping[str, str]) -> str:
    """`addresses`: of a running stack, name to URL."""
    targets = [urlsplit(url).netloc for name, url in addresses.items() if name.endswith(SCRAPED)]
    return "\n".join(
        [
            "global:",
            "  scrape_interval: 5s",
            "  evaluation_interval: 15s",
            "  external_labels:",
            f'    console: "{addresses.get("console", "")}"',
            "rule_files:",
            *(f'  - "{file}"' for file in RULES),
            "scrape_configs:",
            "  - job_name: baton",
            "    static_configs:",
            "      - targets:",
            *(f'          - "{target}"' for target in targets),
            "",
        ]
    )
