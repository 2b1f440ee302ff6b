"""Tables: text files, Parquet, Arrow, Excel sheets and data frames, as one typed `Table` that says how it was read.

Top-down, `reading` (a file becomes a Table): `content` (bytes become text: compression, encoding; `other_formats` are
refused), `lines` (what stands around a table), `separators` and `records` (text becomes lines of equally many fields),
`layout` and `headers` (names, units), `columns` (fields become values, each column in its `notation`: `written_numbers`
and its like; missing values by `markers`), `description` (how all that went), `table` (the Table itself), `likeness`
(another table read as the first was). `parquet` and `workbooks` need none of the steps before `table`; `frames` are of
data frames, `given` of whatever users give as a table, and of the columns that they name. polars parses and stores;
this package imports it, so import it only where it is used.
"""

from gpubp.tables.given import find_columns, table_of
from gpubp.tables.reading import read_table
from gpubp.tables.table import Table, find_column

__all__ = ["Table", "find_column", "find_columns", "read_table", "table_of"]
