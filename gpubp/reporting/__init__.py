"""The report of a sweep: what `results.json` holds, as one HTML page (`page`) and as picture files (`plots`).

`reading` reads the file and believes nothing in it, `results` is what it makes of it; `parameters` and `outcomes` say
what is to be seen, as figures (`figures`, `axes`), and `gallery` has all of them; `svg` draws them for the page,
`plots` with matplotlib.
"""

from gpubp.reporting.page import write_page
from gpubp.reporting.reading import RESULTS, load

REPORT = "report.html"

__all__ = ["REPORT", "RESULTS", "load", "write_page"]
