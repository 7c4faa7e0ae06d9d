"""An agent, a task and a hyper-reward of one's own, for everybody who installs this package."""
