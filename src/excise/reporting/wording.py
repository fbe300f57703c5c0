"""Numbers and names as people read them. Spaces before units do not break."""

from __future__ import annotations

from collections.abc import Sequence

from excise.reporting.figures import Estimate, Rate

NARROW = "\N{NARROW NO-BREAK SPACE}"


def percent(share: float) -> str:
    """A share as "4 %", with a decimal where that matters: below 10 and above 99."""
    value = 100 * share
    if value in (0, 100) or 9.95 <= value < 99:
        return f"{value:.0f}{NARROW}%"
    if 0 < value < 0.1:
        return f"<0.1{NARROW}%"
    if 99.9 < value < 100:
        return f">99.9{NARROW}%"
    text = f"{value:.1f}".removesuffix(".0").replace("-", "−")
    return f"{text}{NARROW}%"


def between(figure: Rate | Estimate) -> str:
    """The interval as "1.2 to 4 %", or its one end as "at least 1.2 %"; nothing without any."""
    if figure.low is None or figure.high is None:
        ends = (("at least", figure.low), ("at most", figure.high))
        return "".join(f"{word} {percent(end)}" for word, end in ends if end is not None)
    low = percent(figure.low).removesuffix(f"{NARROW}%")
    return f"{low} to {percent(figure.high)}"


def tally(rate: Rate) -> str:
    """The count as "3 of 240"; "240 pictures" where there is no whole count."""
    if rate.count is None:
        return f"{number(rate.n)} pictures"
    return f"{number(rate.count)} of {number(rate.n)}"


def number(value: float) -> str:
    """Thousands set apart; three figures of what is no whole number."""
    if float(value).is_integer():
        return f"{value:,.0f}".replace(",", NARROW).replace("-", "−")
    return f"{value:.3g}".replace("-", "−")


def points(share: float) -> str:
    """A difference of shares as "3.1 points"."""
    value = f"{100 * share:.1f}".removesuffix(".0").replace("-", "−")
    return f"{value} points" if value not in ("1", "−1") else f"{value} point"


def seconds(value: float) -> str:
    """A length of time as "48 s", "3 min 20 s" or "2 h 5 min"."""
    if value < 9.95:
        return f"{value:.1f}{NARROW}s"
    whole = round(value)
    if whole < 120:
        return f"{whole}{NARROW}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}{NARROW}min {rest}{NARROW}s" if rest else f"{minutes}{NARROW}min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NARROW}h {minutes}{NARROW}min"


def size(value: int) -> str:
    """Bytes as "1.2 MB"."""
    power = min(max(len(str(abs(value))) - 1, 0) // 3, 3)
    amount = value / 1000**power
    text = f"{amount:.0f}" if power == 0 or amount >= 10 else f"{amount:.1f}"
    return f"{text}{NARROW}{('B', 'kB', 'MB', 'GB')[power]}"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names as "a, b and c"; the rest counted."""
    shown = list(names[:most])
    if len(names) > most:
        return ", ".join(shown) + f" and {len(names) - most} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)


def capital(text: str) -> str:
    """With the first letter a capital."""
    return text[:1].upper() + text[1:]
