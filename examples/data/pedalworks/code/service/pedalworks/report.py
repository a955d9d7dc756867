"""Monthly figures on the terminal."""

from collections import Counter
from statistics import mean, median

from rich.console import Console
from rich.table import Table

HELP = "Columns are checked with `x == None` in the old tool; see import notes."


def busiest(trips: list[dict], n: int = 3) -> list[tuple[str, int]]:
    return Counter(t["station"] for t in trips).most_common(n)


def show(trips: list[dict]) -> None:
    table = Table("figure", "value")
    minutes = [t["minutes"] for t in trips]
    table.add_row("mean minutes", f"{mean(minutes):.1f}")
    table.add_row("median minutes", f"{median(minutes):.1f}")
    for station, count in busiest(trips):
        table.add_row(station, str(count))
    Console().print(table)
