"""What a gradient check found, as a dict to compute with and as a table to read."""

from __future__ import annotations

TOLERANCE = 1e-6  # a smaller relative error is round-off; a mistake of 0.1 % shows as 1e-3


class GradientReport(dict[str, float]):
    """The relative error of each array's gradient, by name; it prints as a table that says what was left out.

    The error is infinite where nothing could be compared, so that no max(report.values()) < 1e-6 passes unseen.

    Attributes:
        entries: {name: how many single entries were tried}.
        kinks: {name: how many of these were left out}.
        directions: {name: where all entries at once were checked: "here", "nearby", or "nowhere", at kinks only}.
    """

    def __init__(self) -> None:
        super().__init__()
        self.entries: dict[str, int] = {}
        self.kinks: dict[str, int] = {}
        self.directions: dict[str, str] = {}

    @property
    def ok(self) -> bool:
        """Whether every array was checked, with an error below 1e-6."""
        return all(error < TOLERANCE for error in self.values())

    @property
    def worst(self) -> str:
        """The name of the array with the largest error."""
        return max(self, key=self.__getitem__)

    @property
    def unchecked(self) -> list[str]:
        """The arrays of which nothing could be compared: every entry tried and every direction met a kink."""
        return [n for n in self if self.kinks[n] == self.entries[n] and self.directions[n] == "nowhere"]

    def __repr__(self) -> str:
        rows = [("array", "error", "entries", "at kinks", "direction")]
        rows += [(n, f"{self[n]:.0e}", str(self.entries[n]), str(self.kinks[n]), self.directions[n]) for n in self]
        width = max(len(row[0]) for row in rows)
        lines = [f"{row[0]:{width}}  {row[1]:>6}  {row[2]:>7}  {row[3]:>8}  {row[4]}" for row in rows]
        wrong = [name for name in self if not self[name] < TOLERANCE and name not in self.unchecked]
        if wrong:
            lines.append(f"wrong: {', '.join(wrong)}")
        if self.unchecked:
            lines.append(f"not checked, kinks everywhere: {', '.join(self.unchecked)}; try other images")
        return "\n".join(lines)
