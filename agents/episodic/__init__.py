"""Episodic control: a nearest-neighbour memory of which hyperparameters worked in which state."""

from agents.episodic.agent import EpisodicControlAgent
from agents.episodic.embedding import RandomEmbedding, VAEEmbedding
from agents.episodic.memory import EpisodicMemory

__all__ = ["EpisodicControlAgent", "EpisodicMemory", "RandomEmbedding", "VAEEmbedding"]
