"""Tables: CSV, TSV, whitespace-separated text, Parquet and data frames, as one typed `Table`.

Top-down: `reading` (a file becomes a Table), `records` (text becomes lines of equally many fields:
separator, quotes, ragged lines), `values` (fields become numbers, text or missing values; is there a
header?), `table` (the Table itself). polars parses and stores; this package imports it, so import it only
where it is used.
"""

from gpubp.tables.reading import read_table
from gpubp.tables.table import Table, find_column

__all__ = ["Table", "find_column", "read_table"]
