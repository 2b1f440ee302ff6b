"""Preprocessing: a `Table` into the float64 arrays that networks read, and network outputs back into answers.

`columns` decides what each input column is, `inputs` encodes inputs (`Preprocessing`), `target` encodes and
decodes the target (`Target`). Everything fitted is plain arrays and JSON-able metadata.
"""

from gpubp.preprocessing.columns import Column, describe_columns
from gpubp.preprocessing.inputs import Encoded, Preprocessing
from gpubp.preprocessing.target import Target

__all__ = ["Column", "Encoded", "Preprocessing", "Target", "describe_columns"]
