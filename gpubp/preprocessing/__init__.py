"""Preprocessing: a `Table` into the float64 arrays that networks read, and network outputs back into answers.

`choosing` says which columns are inputs, `columns` and `dates` what each is, `labels` how categories are spelled,
`inputs` encodes inputs (`Preprocessing`), `target` encodes and decodes the target (`Target`). Everything fitted is
plain arrays and JSON-able metadata.
"""

from gpubp.preprocessing.choosing import InputColumns, LeftOut, choose_inputs
from gpubp.preprocessing.columns import Column
from gpubp.preprocessing.inputs import Encoded, Preprocessing
from gpubp.preprocessing.target import Target

__all__ = ["Column", "Encoded", "InputColumns", "LeftOut", "Preprocessing", "Target", "choose_inputs"]
