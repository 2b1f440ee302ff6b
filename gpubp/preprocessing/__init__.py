"""Preprocessing: a `Table` into the float64 arrays that networks read, and network outputs back into answers.

`choosing` says which columns are inputs, `columns` and `dates` what each is, `labels` how categories are spelled,
`rules` what can be chosen about them; `inputs` encodes inputs (`Preprocessing`), with `categories`, `number_fit`,
`scaling` and `quantiles`; `target` encodes and decodes the target (`Target`). Everything fitted is plain arrays and
JSON-able metadata.
"""

from gpubp.preprocessing.choosing import InputColumns, LeftOut, choose_inputs
from gpubp.preprocessing.columns import Column
from gpubp.preprocessing.inputs import Encoded, Preprocessing
from gpubp.preprocessing.rules import InputRules
from gpubp.preprocessing.target import Target

__all__ = ["Column", "Encoded", "InputColumns", "InputRules", "LeftOut", "Preprocessing", "Target", "choose_inputs"]
