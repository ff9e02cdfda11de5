"""What plugins and genbench hand each other while a cell runs: images, batches, objectives, estimates; no torch."""

from genbench.exchange.images import ImageData as ImageData
from genbench.exchange.images import Images as Images
from genbench.exchange.learning import AdversarialLoss as AdversarialLoss
from genbench.exchange.learning import Augmentation as Augmentation
from genbench.exchange.learning import Batch as Batch
from genbench.exchange.learning import Family as Family
from genbench.exchange.learning import LatentFamily as LatentFamily
from genbench.exchange.learning import Likelihood as Likelihood
from genbench.exchange.learning import LikelihoodBound as LikelihoodBound
from genbench.exchange.learning import LikelihoodFamily as LikelihoodFamily
from genbench.exchange.learning import Objective as Objective
from genbench.exchange.learning import Phase as Phase
from genbench.exchange.learning import Posterior as Posterior
from genbench.exchange.learning import Setup as Setup
from genbench.exchange.learning import VariationalLoss as VariationalLoss
from genbench.exchange.measuring import Classifier as Classifier
from genbench.exchange.measuring import Direction as Direction
from genbench.exchange.measuring import Estimate as Estimate
from genbench.exchange.measuring import Evaluation as Evaluation
from genbench.exchange.measuring import Extractor as Extractor
from genbench.exchange.measuring import ExtractorData as ExtractorData
from genbench.exchange.measuring import ExtractorUnavailable as ExtractorUnavailable
from genbench.exchange.measuring import Rows as Rows
from genbench.exchange.measuring import SetName as SetName
from genbench.exchange.measuring import Statistics as Statistics
from genbench.exchange.measuring import Unavailable as Unavailable
