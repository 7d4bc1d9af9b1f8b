"""The outside of the control plane: the process that serves a live run's figures and takes its commands."""
