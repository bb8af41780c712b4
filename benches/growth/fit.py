"""The exponent of cost ~ size^b, and tables of Markdown."""

import math


def exponent(sizes, costs):
    """Least squares of log cost over log size: b and R²; None of fewer than two sizes with a cost."""
    points = [(math.log(size), math.log(cost)) for size, cost in zip(sizes, costs) if isinstance(cost, int | float) and size > 0 and cost > 0]
    if len({x for x, _ in points}) < 2:
        return None
    mean_x, mean_y = (sum(values) / len(points) for values in zip(*points))
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    b = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
    total = sum((y - mean_y) ** 2 for _, y in points)
    left = sum((y - mean_y - b * (x - mean_x)) ** 2 for x, y in points)
    return b, 1 - left / total if total > 0 else 1.0


def markdown(size_name, rows):
    """A line for each cost, a column for each size, then the exponents: over all sizes with R², and over the last two, which a
    constant part spoils less."""
    sizes = [size for size, _ in rows]
    lines = [["", *(f"{size(value)} {size_name}" for value in sizes), "b", "R²", "b, last step"]]
    for name in dict.fromkeys(name for _, row in rows for name in row):
        costs = [row.get(name) for _, row in rows]
        (b, r2), (last, _) = exponent(sizes, costs) or (None, None), exponent(sizes[-2:], costs[-2:]) or (None, None)
        fits = [None if fit is None else f"{fit:.2f}" for fit in (b, r2, last)]
        if len(sizes) < 3:  # a line through two points says nothing of how well it fits, nor of a last step
            fits[1:] = (None, None)
        lines.append([name, *map(number, [*costs, *fits])])
    lines.insert(1, ["---", *["---:"] * (len(lines[0]) - 1)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def size(value):
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"


def number(value):
    """Three digits, or all before the point."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if abs(value) >= 1000 or (isinstance(value, int) and value != 0):
        return f"{value:,.0f}"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{digits}f}"
