"""The array engine: matrix products by a library, update by update. It serves every network on every backend."""
