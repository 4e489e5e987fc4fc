"""The head's pooling as TensorFlow is the head's."""

import numpy as np
import pytest

from steps.network.head import pool
from steps.network.runtime import start_tensorflow
from tests.steps.network.test_head import WIDTH, drawn

start_tensorflow()

import tensorflow as tf  # noqa: E402

from steps.train.phase2 import pool_bags  # noqa: E402

pytestmark = pytest.mark.integration


def test_bags_are_pooled_as_screenshots_are():
    features, index, screenshot = drawn([1, 5, 3])
    bags = np.full((3, 6, WIDTH), 7.0, np.float32)
    bags[screenshot, index] = features
    present = np.arange(6) < np.array([2, 6, 4])[:, None]
    assert pool_bags(tf.constant(bags), tf.constant(present)).numpy() == pytest.approx(
        pool(features, index, screenshot), abs=1e-6
    )
