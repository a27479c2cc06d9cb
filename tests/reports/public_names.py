"""The names of everything public, and those that are not called."""

FLOORS = ("", "datasets", "networks", "population", "gradients", "training", "metanets")
FLOORS += ("requirements", "zoo", "editing", "baselines", "evaluation", "optimizing", "estimators")

# Names of torch.nn modules: as torch's own they begin with what torch.manual_seed decides.
MODULES = {"CNN", "MLP", "Edit", "GraphTrunk", "IOEncoding", "InvariantPool", "Metanet", "Trunk"}
MODULES |= {"MonomialLayer", "NFLayer", "NFN", "NeuronTrunk", "Quasi", "QuasiScaling", "Read"}
MODULES |= {"GradMetaNet", "GradMetaNetPlusPlus", "GradientTrunk", "GradientWeights"}
MODULES |= {"PerNetwork", "PerWeight", "SampleWeights", "StatNN"}

# Constants, errors, and classes that are nothing but their fields or that others derive from.
NO_CALLS = {"ACTIVATIONS", "INITIALIZATIONS", "NORMS", "RULES", "TRUNKS", "EDITING_TRUNKS"}
NO_CALLS |= {"Encoded", "GradientSet", "SampleStates", "UnsupportedNetworkError", "FileError"}
NO_CALLS |= {"Layout", "Shrunk", "Slot", "Stack", "Interval", "TrainingResult", "WeightGraph"}
NO_CALLS |= {"Baseline", "GroupFairness", "MaskRequirement", "Requirement"}
NO_CALLS |= {"Loss", "Matrix", "Moments", "Trace", "Training", "Unrolled", "Problem"}
NO_CALLS |= {"PRETRAINED", "Residual"}
NO_CALLS |= {"ZooWarning", "fetch_adult", "fetch_bank", "fetch_cifar10", "fetch_mnist"}


def public_names() -> set[str]:
    """Return the names of everything that a floor shows."""
    modules = [__import__(f"skmeta.{floor}".rstrip("."), fromlist=["x"]) for floor in FLOORS]
    return {name for module in modules for name in module.__all__}
