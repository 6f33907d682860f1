import cv2
import numpy as np
import pytest
import torch
from skimage import metrics as oracle

from vision_core.restoration import losses, metrics


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    clean = rng.random((2, 3, 40, 32))
    return torch.tensor((clean + 0.1 * rng.standard_normal(clean.shape)).clip(0, 1)), torch.tensor(clean)


def test_psnr_and_ssim_are_scikit_images(pair):
    for index in range(2):
        a, b = (part[index].permute(1, 2, 0).numpy() for part in pair)
        assert metrics.psnr(*pair)[index] == pytest.approx(oracle.peak_signal_noise_ratio(b, a, data_range=1))
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        _, full = oracle.structural_similarity(a, b, data_range=1, channel_axis=2, full=True, **options)
        assert metrics.ssim(*pair)[index] == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-6)


def test_mse_and_mae_are_numpys(pair):
    difference = (pair[0] - pair[1]).numpy()
    assert np.allclose(metrics.mse(*pair), (difference**2).mean((1, 2, 3)))
    assert np.allclose(metrics.mae(*pair), np.abs(difference).mean((1, 2, 3)))


def test_equal_images_have_the_best_figures_at_every_size():
    for size in ((1, 1), (3, 40), (12, 12)):
        x = torch.rand(1, 3, *size)
        assert metrics.psnr(x, x) == 100 and metrics.ssim(x, x).item() == pytest.approx(1, abs=1e-5)


def test_sharpness_is_opencvs_laplacian(pair):
    luma = (pair[1][0] * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0).numpy() * 255
    expected = cv2.Laplacian(luma, cv2.CV_64F, borderType=cv2.BORDER_REPLICATE).var()
    assert metrics.sharpness(pair[1])[0].item() == pytest.approx(expected, rel=1e-6)


def test_the_losses_are_their_formulas(pair):
    a, b = (part.numpy() for part in pair)
    assert losses.l1(*pair).item() == pytest.approx(np.abs(a - b).mean())
    d = a - b
    steps = np.abs(np.diff(d, axis=3)).mean() + np.abs(np.diff(d, axis=2)).mean()
    assert losses.gradient(*pair).item() == pytest.approx(steps)


@pytest.mark.parametrize("loss", [losses.l1, losses.gradient, metrics.ssim])
def test_losses_have_the_gradient_of_their_values(loss):
    rng = torch.Generator().manual_seed(0)
    x, y = torch.rand(2, 1, 3, 6, 5, dtype=torch.float64, generator=rng)
    assert torch.autograd.gradcheck(lambda z: loss(z, y), x.requires_grad_())


def test_shapes_must_match():
    for measure in (metrics.psnr, metrics.ssim, metrics.mae, losses.l1):
        with pytest.raises(ValueError, match=r"restored \(1, 3, 4, 4\) and clean \(1, 3, 4, 5\)"):
            measure(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))
    with pytest.raises(ValueError, match="vgg16, gradient or none"):
        losses.perceptual("lpips", torch.device("cpu"))
