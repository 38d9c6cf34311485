"""What a problem can offer to solvers. A solver knows one of these, never a formulation.

Each structure is a Protocol; a problem offers it by having its methods. ``fl_opt.solve`` looks at
them to choose the fastest exact solver.
"""

from fl_opt.structure.choosing import Choice as Choice
from fl_opt.structure.choosing import Crossed as Crossed
from fl_opt.structure.choosing import CrossedChoice as CrossedChoice
from fl_opt.structure.choosing import Cut as Cut
from fl_opt.structure.choosing import Items as Items
from fl_opt.structure.choosing import Knapsack as Knapsack
from fl_opt.structure.choosing import MixedConvex as MixedConvex
from fl_opt.structure.choosing import PricedChoice as PricedChoice
from fl_opt.structure.choosing import Stepped as Stepped
from fl_opt.structure.choosing import Weighing as Weighing
from fl_opt.structure.convex import Apart as Apart
from fl_opt.structure.convex import Attainable as Attainable
from fl_opt.structure.convex import Attempt as Attempt
from fl_opt.structure.convex import ClosedForm as ClosedForm
from fl_opt.structure.convex import Convex as Convex
from fl_opt.structure.convex import DualPoint as DualPoint
from fl_opt.structure.convex import Line as Line
from fl_opt.structure.convex import Model as Model
from fl_opt.structure.convex import Nested as Nested
from fl_opt.structure.convex import Optimum as Optimum
from fl_opt.structure.convex import Premised as Premised
from fl_opt.structure.convex import Priced as Priced
from fl_opt.structure.convex import Response as Response
from fl_opt.structure.convex import SmoothDual as SmoothDual
from fl_opt.structure.placing import BudgetedMatching as BudgetedMatching
from fl_opt.structure.placing import GroupCut as GroupCut
from fl_opt.structure.placing import Grouped as Grouped
from fl_opt.structure.placing import LevelCut as LevelCut
from fl_opt.structure.placing import Levelled as Levelled
from fl_opt.structure.placing import Matching as Matching
from fl_opt.structure.placing import Offers as Offers
from fl_opt.structure.trying import Branched as Branched
from fl_opt.structure.trying import Enumerable as Enumerable
from fl_opt.structure.trying import Mixed as Mixed
from fl_opt.structure.trying import Program as Program
from fl_opt.structure.trying import Relaxed as Relaxed
from fl_opt.structure.trying import Searched as Searched

__all__ = [
    "Apart",
    "Attainable",
    "Attempt",
    "Branched",
    "BudgetedMatching",
    "Choice",
    "ClosedForm",
    "Convex",
    "Crossed",
    "CrossedChoice",
    "Cut",
    "DualPoint",
    "Enumerable",
    "Excess",
    "GroupCut",
    "Grouped",
    "Items",
    "Knapsack",
    "LevelCut",
    "Levelled",
    "Line",
    "Matching",
    "Mixed",
    "MixedConvex",
    "Model",
    "Nested",
    "Offers",
    "Optimum",
    "Premised",
    "Priced",
    "PricedChoice",
    "Program",
    "Proof",
    "Relaxed",
    "Response",
    "Searched",
    "SmoothDual",
    "Stepped",
    "Weighing",
]
