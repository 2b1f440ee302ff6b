"""A population's epochs: `loop.train`, early stopping, history, snapshots, checkpoints; `lbfgs` for one network."""
