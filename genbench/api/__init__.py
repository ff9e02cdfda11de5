"""What plugins and genbench hand each other while a cell runs: images, batches, objectives, estimates; no torch."""

from genbench.api.evaluation import Classifier as Classifier
from genbench.api.evaluation import Direction as Direction
from genbench.api.evaluation import Estimate as Estimate
from genbench.api.evaluation import Evaluation as Evaluation
from genbench.api.evaluation import Extractor as Extractor
from genbench.api.evaluation import ExtractorData as ExtractorData
from genbench.api.evaluation import ExtractorUnavailable as ExtractorUnavailable
from genbench.api.evaluation import Rows as Rows
from genbench.api.evaluation import SetName as SetName
from genbench.api.evaluation import Statistics as Statistics
from genbench.api.evaluation import Unavailable as Unavailable
from genbench.api.images import ImageData as ImageData
from genbench.api.images import Images as Images
from genbench.api.training import AdversarialLoss as AdversarialLoss
from genbench.api.training import Augmentation as Augmentation
from genbench.api.training import Batch as Batch
from genbench.api.training import Family as Family
from genbench.api.training import LatentFamily as LatentFamily
from genbench.api.training import Likelihood as Likelihood
from genbench.api.training import LikelihoodBound as LikelihoodBound
from genbench.api.training import LikelihoodFamily as LikelihoodFamily
from genbench.api.training import Objective as Objective
from genbench.api.training import Phase as Phase
from genbench.api.training import Posterior as Posterior
from genbench.api.training import Setup as Setup
from genbench.api.training import VariationalLoss as VariationalLoss
