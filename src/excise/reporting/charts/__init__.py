"""Charts as inline SVG, drawn twice: for a wide page and for a phone. Colours are the page's."""

from excise.reporting.charts.curves import Curve, Span, curves
from excise.reporting.charts.forest import Row, forest
from excise.reporting.charts.gauge import gauge
from excise.reporting.charts.svg import Axis, Chart, Line, Mark, Series, icon

__all__ = [
    "Axis",
    "Chart",
    "Curve",
    "Line",
    "Mark",
    "Row",
    "Series",
    "Span",
    "curves",
    "forest",
    "gauge",
    "icon",
]
