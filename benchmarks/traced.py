"""What `torch.compile` would give where the fast backend has no closed form: the Nature CNN on this CPU.

One PPO update's loss and gradient, by SB3's policy as it is and fast as one graph, with the same
clipping and optimiser after it; and the optimiser alone, by loops over tensors and fused.
"""

import argparse
import time

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticCnnPolicy
from timing import interleaved, machine, report
from torch import nn

N_ACTIONS = 9


class Heads(nn.Module):
    """The policy without its distribution object, which cannot be traced."""

    def __init__(self, policy):
        super().__init__()
        self.extractor, self.mlp = policy.features_extractor, policy.mlp_extractor
        self.action, self.value = policy.action_net, policy.value_net

    def forward(self, observations):
        """Logits (B, A) and values (B,)."""
        actor, critic = self.mlp(self.extractor(observations.float() / 255))
        return self.action(actor), self.value(critic).flatten()


def objective(log_prob, entropy, values, batch):
    """PPO's loss with clip 0.1, entropy 0.01 and value coefficient 0.5."""
    ratio = (log_prob - batch["log_prob"]).exp()
    surrogate = torch.min(batch["advantage"] * ratio, batch["advantage"] * ratio.clamp(0.9, 1.1)).mean()
    return -surrogate - 0.01 * entropy.mean() + 0.5 * (batch["return"] - values).square().mean()


def main() -> None:
    """Prints a line per batch size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch-sizes", type=int, nargs="*", default=[32, 256])
    arguments = parser.parse_args()
    print(machine())
    for size in arguments.batch_sizes:
        torch.manual_seed(0)
        space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
        policy = ActorCriticCnnPolicy(space, spaces.Discrete(N_ACTIONS), lambda _: 2.5e-4)
        heads, parameters = Heads(policy), list(policy.parameters())
        fused = torch.optim.Adam(parameters, lr=2.5e-4, fused=True)
        observations = torch.randint(0, 256, (size, 4, 84, 84), dtype=torch.uint8)
        actions = torch.randint(0, N_ACTIONS, (size,))
        batch = {name: torch.randn(size) for name in ("log_prob", "advantage", "return")}

        @torch.compile
        def traced(observations, actions, batch, heads=heads):
            logits, values = heads(observations)
            log_p = logits.log_softmax(-1)
            log_prob = log_p.gather(1, actions[:, None])[:, 0]
            return objective(log_prob, -(log_p * log_p.exp()).sum(-1), values, batch)

        def as_it_is(observations, actions, batch, policy=policy):
            values, log_prob, entropy = policy.evaluate_actions(observations, actions)
            return objective(log_prob, entropy, values.flatten(), batch)

        def update(loss, policy=policy, parameters=parameters, of=(observations, actions, batch)):
            policy.optimizer.zero_grad()
            loss(*of).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 0.5)
            policy.optimizer.step()

        start = time.perf_counter()
        update(traced)
        warm_up = time.perf_counter() - start
        sides = {"SB3's policy": lambda u=update, f=as_it_is: u(f), "traced": lambda u=update, f=traced: u(f)}
        report(f"Nature CNN, batch {size}", interleaved(sides, 8), 1, "update")
        print(f"  compilation took {warm_up:.0f} s")
        optimizers = {"Adam": policy.optimizer.step, "fused": fused.step}
        report("  its optimiser alone", interleaved(optimizers, 20), 1, "step")


if __name__ == "__main__":
    main()
