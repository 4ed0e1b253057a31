# SPDX-License-Identifier: Apache-2.0
"""Fashion-MNIST: photographs of clothes in MNIST's format. H. Xiao, K. Rasul, R. Vollgraf, 2017; MIT licence.

Downloaded when first used, 31 MB; see `datasets.cache`.
"""

from __future__ import annotations

from fastcnn.datasets import cache, idx
from fastcnn.datasets.mnist import Pair

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

_SOURCE = "https://fashion-mnist.s3.eu-central-1.amazonaws.com/"
_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def load_data() -> tuple[Pair, Pair]:
    """Load Fashion-MNIST.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        Images uint8 [60000, 28, 28] and [10000, 28, 28]; labels uint8 [60000] and [10000], 0 to 9, see
        ``CLASSES``.

    Raises
    ------
    OSError
        A file is not there and cannot be downloaded; the message says what to put where.
    FormatError
        A file is another one than it should be.

    Examples
    --------
    >>> from fastcnn.datasets import fashion_mnist
    >>> fashion_mnist.CLASSES[9]
    'Ankle boot'
    """
    return _load("train"), _load("t10k")


def _load(part: str) -> Pair:
    names = (f"{part}-images-idx3-ubyte.gz", f"{part}-labels-idx1-ubyte.gz")
    images, labels = (
        cache.fetch(cache.Remote(f"fashion-mnist/{name}", _SOURCE + name, _SHA256[name])) for name in names
    )
    return idx.load_pair(images, labels)
