"""The paper's own figures, as printed, with what its own numbers say where it contradicts itself.

Source: M. Al-Asfoor and M. H. Abed, "Deep Learning Approach for COVID-19 Diagnosis Using X-Ray Images" (2020),
doi:10.21203/rs.3.rs-31278/v1, CC BY 4.0.
"""

from __future__ import annotations

from typing import NamedTuple

from covid.evaluation.intervals import wilson

TITLE = "Deep Learning Approach for COVID-19 Diagnosis Using X-Ray Images"
AUTHORS = "M. Al-Asfoor and M. H. Abed"
DOI = "https://doi.org/10.21203/rs.3.rs-31278/v1"


class Share(NamedTuple):
    """A share in percent as the paper prints it, and the images that it counts."""

    printed: str
    images: int
    of: int

    @property
    def value(self) -> float:
        """The share of 1 that the images give."""
        return self.images / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95 % Wilson interval, which the paper does not give.

        >>> [round(end, 3) for end in FIGURE_3_PRECISION["COVID-19"].interval]
        [0.79, 0.992]
        """
        return wilson(self.images, self.of)


CLASSES = ("COVID-19", "Normal", "Pneumonia")

# Section 5.1: how many images of each class it lists. The confusion matrix fits 123, 1,341 and 3,875 instead.
LISTED_IMAGES = {"COVID-19": 123, "Normal": 1585, "Pneumonia": 4275}

# Table 2: the setting's name in covid.config.Config, or "" for one that is no setting here, the option, the value.
TABLE_2 = (
    ("momentum", "Momentum", "0.9000"),
    ("learning_rate", "Initial learning rate", "0.0100"),
    ("drop_factor", "Learn rate drop factor", "0.2"),
    ("drop_period", "Learn rate drop period", "5"),
    ("epochs", "Max epochs", "20"),
    ("batch_size", "Mini-batch size", "64"),
    ("", "Shuffle", "every epoch"),
)

# Figure 3, the confusion matrix: rows are output classes, columns target classes.
FIGURE_3 = ((22, 1, 0), (0, 244, 18), (3, 23, 757))
FIGURE_3_SENSITIVITY = {
    "COVID-19": Share("88.0", 22, 25),
    "Normal": Share("91.0", 244, 268),
    "Pneumonia": Share("97.7", 757, 775),
}
FIGURE_3_PRECISION = {
    "COVID-19": Share("95.7", 22, 23),
    "Normal": Share("93.1", 244, 262),
    "Pneumonia": Share("96.7", 757, 783),
}
ACCURACY = Share("95.8", 1023, 1068)

# What Table 3 calls the accuracy of a class is its precision.
TABLE_3 = FIGURE_3_PRECISION

# Table 4, validation accuracy by epoch. The first two are shares of 75 images, so they belong to the pre-experiment
# with 123 images of each class; the third is of all 1,068.
TABLE_4_PRE = {1: Share("62.67", 47, 75), 13: Share("92.00", 69, 75)}
TABLE_4_FULL = {20: ACCURACY}

# Table 5. AlexNet's 95.00 % fits no whole number of 1,068 images: 1,015 is the nearest.
TABLE_5 = {"alexnet": Share("95.00", 1015, 1068), "paper": ACCURACY}
