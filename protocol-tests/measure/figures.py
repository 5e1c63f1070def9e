"""What the measurements read from /proc, and how they print it. Knows no server and no load."""

import os
from dataclasses import dataclass
from pathlib import Path
from statistics import median

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass
class CpuSeconds:
    """Processor time that a process has used so far."""

    user: float
    system: float

    @staticmethod
    def of(pid: int) -> "CpuSeconds":
        # The name in parentheses may hold blanks; the fields after it are numbered from 3 by proc(5).
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return CpuSeconds(*(int(ticks) / TICKS_PER_SECOND for ticks in fields[11:13]))

    def since(self, earlier: "CpuSeconds") -> "CpuSeconds":
        return CpuSeconds(self.user - earlier.user, self.system - earlier.system)


def memory_mib(pid: int, line: str) -> float:
    """A line of /proc/PID/status that is given in kB there: VmRSS now, VmHWM the highest so far."""
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith(f"{line}:"):
            return int(text.split()[1]) / 1024
    raise ValueError(f"/proc/{pid}/status: has no line {line}")


def spread(values: list[float], digits: int) -> str:
    """median (lowest-highest)"""
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f}-{max(values):,.{digits}f})"


def print_table(heads: list[str], rows: list[list[str]]) -> None:
    """The first column to the left, all others to the right."""
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, ["-" * width for width in widths], *rows]:
        cells = [cell.rjust(width) for cell, width in zip(row, widths)]
        print("  ".join([row[0].ljust(widths[0]), *cells[1:]]).rstrip(), flush=True)
