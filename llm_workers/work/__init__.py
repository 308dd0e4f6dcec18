"""What an LLM worker does with the jobs it is handed; knows no transport."""

from llm_workers.work.bench import Workbench
from llm_workers.work.config import WorkConfig
from llm_workers.work.figures import Figures
from llm_workers.work.jobs import Job, Outcome

__all__ = ["Figures", "Job", "Outcome", "WorkConfig", "Workbench"]
