"""Charts to log, as W&B has them: each is a table, and says what is to be drawn of it.

Nothing is drawn here. ``log({"roc": maskl.plot.roc_curve(...)})`` stores the table ``roc_table``, which SQL queries as
any other, and in the history under ``roc`` which chart it is for, by which columns, and under which title.
"""

from maskl.plot._classification import confusion_matrix, pr_curve, roc_curve
from maskl.plot.charts import CustomChart, bar, histogram, line, line_series, plot_table, scatter

__all__ = [
    "CustomChart",
    "bar",
    "confusion_matrix",
    "histogram",
    "line",
    "line_series",
    "plot_table",
    "pr_curve",
    "roc_curve",
    "scatter",
]
