"""Any Stable-Baselines3 algorithm as a hyper-agent: SB3's own networks, buffers and updates."""

from agents.sb3.agent import SB3Agent
from agents.sb3.algorithms import sb3_class
from agents.sb3.make import make_dqn_agent, make_sb3_agent

__all__ = ["SB3Agent", "make_dqn_agent", "make_sb3_agent", "sb3_class"]
