"""A study of a paper: what is run, how it is scored, and what the paper reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature

import agents
from hyperrl_env.checks import check_at_least, check_choice, check_fraction
from hyperrl_env.learners import learner_class
from hyperrl_env.settings import get_settings
from hyperrl_lab.config import RunConfig
from hyperrl_lab.ids import id_kwargs
from hyperrl_lab.search.methods import PERTURB_EVERY, POPULATION, POPULATIONS
from hyperrl_lab.studies.study import Method, Study, StudyRun

# So that at least one choice earns a hyper-reward.
_FEWEST_PHASES = 2


@dataclass(frozen=True)
class Published:
    """A score that a paper reports.

    Attributes:
        value: The score.
        std: Its standard deviation over the runs; None: not reported.
        by: Who measured it, if not the paper.
    """

    value: float
    std: float | None = None
    by: str = ""


@dataclass(frozen=True)
class Gain:
    """How much higher a method's mean return is than another's, averaged over the tasks.

    Attributes:
        method: The method.
        over: The other method.
        value: What the paper reports.
    """

    method: str
    over: str
    value: float


@dataclass(frozen=True)
class PublishedStudy:
    """A study whose results a paper reports.

    Attributes:
        study: What is run, at the paper's budget; its tasks and methods have names.
        place: Where the paper reports it.
        metric: The score of a run, one of `comparison.METRICS`.
        statistic: What is reported of the scores, a name of `statistics.STATISTICS`.
        claim: What the paper says of it.
        remark: What the paper leaves open, or this project does otherwise.
        others: Methods of the paper beside the study's own: agents, which are run too once they exist, and
            populations.
        published: The reported scores, by task and method.
        gains: The reported gains.
    """

    study: Study
    place: str
    metric: str
    statistic: str
    claim: str
    remark: str = ""
    others: Sequence[Method] = ()
    published: Mapping[tuple[str, str], Published] = field(default_factory=dict)
    gains: Sequence[Gain] = ()

    @property
    def missing(self) -> list[Method]:
        """The methods that are neither agents nor populations."""
        known = (*agents.AGENTS, *POPULATIONS)
        return [method for method in self.others if method.agent not in known]

    def populations(self, study: Study) -> list[StudyRun]:
        """The populations to train: for each seed and task, one by each such method.

        Between two perturbations, a member does the same share of its budget at every scale: 50,000
        environment steps of the paper's budget, but at least an environment phase.

        Args:
            study: A result of `scaled`.
        """
        methods = {method.name: method.agent for method in self.others if method.agent in POPULATIONS}
        if not methods:
            return []
        whole = {run.task: _budget(run.config)[0] for run in self.study.runs()}
        # Apart from its choices, a population's configuration is that of a run that makes none.
        alone = replace(study, methods=[Method("fixed", name) for name in methods])
        runs = []
        for run in alone.runs():
            budget, phase = _budget(run.config)
            every = max(round(PERTURB_EVERY * budget / whole[run.task]), phase)
            kwargs = {"population": POPULATION, "perturb_every": every}
            config = replace(run.config, agent=methods[run.method], agent_kwargs=kwargs)
            runs.append(replace(run, config=config))
        return runs

    def scaled(
        self, scale: float = 1.0, seeds: int | None = None, tasks: Sequence[str] | None = None
    ) -> Study:
        """The study of all agents that exist, with smaller budgets or fewer seeds or tasks.

        Nothing else changes: settings that are given in steps stay as they are. Only the intervals of
        `populations` shrink with the budgets.

        Args:
            scale: Share of the paper's budget in (0, 1]; of every run's budget at least two environment
                phases are left.
            seeds: Number of seeds, from the first. None: the paper's.
            tasks: Names of the tasks. None: all.

        Raises:
            ValueError: A number out of range, or an unknown task.
        """
        check_fraction("scale", scale, above_0=True)
        if seeds is not None:
            check_at_least("seeds", seeds, 1)
        study = self.study
        names = [task.name for task in study.tasks]
        for task in tasks or ():
            check_choice("task", task, names)
        whole = {run.task: _budget(run.config) for run in study.runs()}
        budgets = {name: _scaled(steps, scale, phase) for name, (steps, phase) in whole.items()}
        least = any(budgets[name] > round(steps * scale) for name, (steps, _) in whole.items())
        return replace(
            study,
            title=f"{study.title}, {_at(scale)}{', at least two environment phases' if least else ''}",
            methods=[*study.methods, *(method for method in self.others if method.agent in agents.AGENTS)],
            seeds=study.seeds if seeds is None else range(seeds),
            tasks=[
                replace(task, total_env_steps=budgets[task.name])
                for task in study.tasks
                if tasks is None or task.name in tasks
            ],
        )


def _at(scale: float) -> str:
    return "at the paper's budget" if scale == 1 else f"at {100 * scale:g} % of the paper's budget"


def _scaled(whole: int, scale: float, phase: int) -> int:
    return min(whole, max(round(whole * scale), _FEWEST_PHASES * phase))


def _budget(config: RunConfig) -> tuple[int, int]:
    """Environment steps of a run and of one of its environment phases."""
    algorithm = id_kwargs(config.id)["algorithm"]
    settings = get_settings(algorithm, id_kwargs(config.id).get("task"))
    own = signature(learner_class(algorithm)).parameters["n_steps"].default
    learner = {"n_steps": own, **settings.learner_kwargs, **config.env_kwargs.get("learner_kwargs", {})}
    phase = int(learner["n_steps"]) * int(config.env_kwargs.get("n_envs", settings.n_envs))
    return config.total_env_steps or settings.total_env_steps, phase
