"""What the jobs of this machine take: processor and memory of all processes below this one."""

from contextlib import suppress
from typing import Any

# MLflow shows what begins so on a page of its own.
_CPU, _MEMORY = "system/cpu_utilization_percentage", "system/memory_usage_megabytes"


class Usage:
    """Measures from call to call; a whole core in use is 100 %."""

    def __init__(self) -> None:
        self._known: dict[int, Any] = {}

    def measure(self) -> dict[str, float]:
        """Return metrics by name; nothing where no job runs."""
        import psutil  # where nothing runs, in a function, it is not installed

        found = {process.pid: process for process in psutil.Process().children(recursive=True)}
        self._known = {pid: self._known.get(pid, process) for pid, process in found.items()}
        cpu, memory = 0.0, 0.0
        for process in self._known.values():
            with suppress(psutil.Error):
                cpu += process.cpu_percent()  # since the last call for the same process
                memory += process.memory_info().rss / 1e6
        return {_CPU: cpu, _MEMORY: memory} if self._known else {}
