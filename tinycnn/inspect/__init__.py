"""What happens inside a network, as arrays: values, receptive fields, maps of what a score hangs on, and diagnoses.

Each function leaves the network as it was: no caches, gradients, running statistics or dropout masks are touched.
"""

from tinycnn.inspect.analysis import Analysis, LayerReport, analyze
from tinycnn.inspect.class_maps import grad_cam, relevance_map
from tinycnn.inspect.diagnosis import Diagnosis, diagnose
from tinycnn.inspect.findings import Finding
from tinycnn.inspect.gradient_maps import IntegratedGradients, integrated_gradients, saliency, smoothgrad
from tinycnn.inspect.lime import Lime, lime
from tinycnn.inspect.maximization import Maximized, maximize
from tinycnn.inspect.occlusion import occlusion
from tinycnn.inspect.reach import ReceptiveField, receptive_field
from tinycnn.inspect.sanity import SanityCheck, SanityRow, randomized, sanity_check
from tinycnn.inspect.values import activations, filters, gradients, logits

__all__ = [
    "Analysis",
    "Diagnosis",
    "Finding",
    "IntegratedGradients",
    "LayerReport",
    "Lime",
    "Maximized",
    "ReceptiveField",
    "SanityCheck",
    "SanityRow",
    "activations",
    "analyze",
    "diagnose",
    "filters",
    "grad_cam",
    "gradients",
    "integrated_gradients",
    "lime",
    "logits",
    "maximize",
    "occlusion",
    "randomized",
    "receptive_field",
    "relevance_map",
    "saliency",
    "sanity_check",
    "smoothgrad",
]
