"""The lab: runs hyper-agents on the Hyper-RL and keeps what comes out."""
