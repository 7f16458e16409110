"""CompressAI is imported without what its image models do not need, and nothing of that remains."""

import subprocess
import sys

import pytest

pytest.importorskip("torch")
pytest.importorskip("compressai")

CHECK = """
import sys
from codecs_wrappers.learned.hyperprior import library
assert "torch_geometric" not in sys.modules and "torch._dynamo" not in sys.modules
assert "pandas" not in sys.modules and "scipy.stats" not in sys.modules
import torchvision.transforms
assert torchvision.__file__ and torchvision.transforms.ToTensor()
import compressai, pandas, scipy
assert pandas.__file__ and pandas.DataFrame({"a": [1]}).a.sum() == 1
assert compressai.entropy_models.entropy_models.scipy.stats.norm.cdf(0) == 0.5
assert scipy.stats is sys.modules["scipy.stats"]
conditional = compressai.entropy_models.GaussianConditional([0.11, 1.0])
assert conditional.update_scale_table([0.11, 1.0], force=True)
network = library.MeanScaleHyperprior(8, 8)
assert sorted(network.state_dict()) == sorted(type(network)(8, 8).state_dict())
"""


@pytest.mark.slow
def test_the_absent_packages_are_absent_only_while_compressai_is_imported():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", CHECK], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
