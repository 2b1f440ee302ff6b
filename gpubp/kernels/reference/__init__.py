"""Every operation in plain array code on `backend.xp`: the definition of right, on NumPy and CuPy alike.

Letters: P networks, B rows of a batch, I fan-in, O fan-out, K parameters of one network. Forward stands beside
backward; the upstream gradient always comes first; gradients are called d<name>; results go to `out`.
"""
