"""The masked-autoencoding Transformer: patches, what attends to what, what a mask hides."""

from __future__ import annotations

import pytest
import torch
from nn_cases import BANDS, MONDAY, OTHER, TUESDAY, draw_windows

from realm.nn.adapters import SessionInfo, parameter_key
from realm.nn.patch_transformer import PatchEmbedding, PatchGrid, PatchReadout, PatchTransformer

WIDE = SessionInfo("ox-1", "ox", tuple("abcdefg"), BANDS)  # seven channels: patches of 2, 2, 2, 1
SESSIONS = [MONDAY, TUESDAY, OTHER, WIDE]
TIME = 40


def make(dtype: torch.dtype = torch.float64, **sizes: int) -> PatchTransformer:
    torch.manual_seed(3)
    chosen = {"d_model": 16, "layers": 2, "headdim": 8, "patch_channels": 2, **sizes}
    return PatchTransformer(SESSIONS, TIME, **chosen).to(dtype)


def draw(session: SessionInfo, batch: int = 1):
    return draw_windows(session, batch, TIME, torch.float64)


@pytest.mark.parametrize(
    ("channels", "at_most", "size", "patches"),
    [(32, 32, 32, 1), (33, 32, 17, 2), (7, 2, 2, 4), (10, 3, 3, 4), (6, 4, 3, 2), (1, 32, 1, 1)],
)
def test_channels_are_cut_into_few_patches_of_about_one_size(channels, at_most, size, patches):
    grid = PatchGrid.of(channels, at_most)
    assert grid == (channels, size, patches)
    numbers = torch.arange(1, channels + 1)
    cut = grid.cut(numbers[None].expand(3, -1), 1)
    assert cut.shape == (3, patches, size)
    assert cut[0].flatten()[:channels].tolist() == numbers.tolist()
    assert not cut[0].flatten()[channels:].any()
    assert (cut[0, :, 0] > 0).all()  # no patch is empty


def test_a_token_is_the_sum_over_its_patch_and_its_readout_the_way_back():
    torch.manual_seed(0)
    grid = PatchGrid.of(7, 2)
    embedding, readout = PatchEmbedding(grid, BANDS, 16), PatchReadout(grid, BANDS, 16)
    features = torch.randn(2, 5, 7, BANDS)
    tokens = embedding(features)
    assert tokens.shape == (2, 5, 4, 16)
    third = torch.einsum("btcn,cnd->btd", features[:, :, 4:6], embedding.weight[4:6])
    torch.testing.assert_close(tokens[:, :, 2], third + embedding.bias[2])
    read = readout(tokens)
    assert read.shape == features.shape
    seventh = torch.einsum("btd,nd->btn", tokens[:, :, 3], readout.weight[6])
    torch.testing.assert_close(read[:, :, 6], seventh)


def test_shapes_and_rows_by_group():
    network = make()
    windows = [draw(TUESDAY, 2), draw(WIDE, 1), draw(OTHER, 3)]
    masks = [torch.rand(w.features.shape[:3]) > 0.5 for w in windows]
    output = network(windows, masks)
    assert [rows.shape for rows in output.latent] == [
        (2, TIME, 16),
        (1, TIME, 4 * 16),
        (3, TIME, 16),
    ]
    assert [r.shape for r in output.reconstruction] == [w.features.shape for w in windows]
    for k, (window, mask) in enumerate(zip(windows, masks, strict=True)):
        alone = network([window], [mask])
        torch.testing.assert_close(output.latent[k], alone.latent[0])
        torch.testing.assert_close(output.reconstruction[k], alone.reconstruction[0])
    assert torch.equal(network.encode(windows)[1], network(windows).latent[1])


@pytest.mark.parametrize("session", [MONDAY, WIDE])
def test_every_bin_sees_past_future_and_all_patches(session):
    network, windows = make(layers=1), draw(session)
    features = windows.features.requires_grad_()
    network.encode([windows])[0][0, 20, :16].sum().backward()  # the first patch
    assert (features.grad[0].abs().sum(-1) > 0).all()


def test_rows_of_a_batch_do_not_see_each_other():
    network, windows = make(), draw(MONDAY, 3)
    other = windows._replace(features=windows.features.clone())
    other.features[1] += 1
    one, two = network.encode([windows])[0], network.encode([other])[0]
    torch.testing.assert_close(one[[0, 2]], two[[0, 2]], rtol=0, atol=1e-12)
    assert not torch.allclose(one[1], two[1])


def test_patches_of_a_bin_share_its_time_whatever_their_order():
    network, windows = make(), draw(WIDE)
    latent = network.encode([windows])[0].view(1, TIME, 4, 16)
    swapped, order = torch.tensor([2, 3, 0, 1, 4, 5, 6]), torch.tensor([1, 0, 2, 3])
    weight, bias = network.session_parameters(WIDE.session_id)
    with torch.no_grad():
        weight.copy_(weight[swapped].clone())
        bias.copy_(bias[order].clone())
    found = network.encode([windows._replace(features=windows.features[:, :, swapped])])[0]
    torch.testing.assert_close(found.view(1, TIME, 4, 16), latent[:, :, order])


def test_one_layer_is_the_attention_written_out():
    network = make(layers=1, headdim=16)
    windows, block = draw(MONDAY), network.encoder[0]  # patches of two channels and of one
    embedding = network.embeddings[parameter_key(MONDAY.session_id)]
    x = embedding(windows.features)[0].flatten(0, 1)  # (tokens, 16)
    queries, keys, values = block.to_queries_keys_values(block.attention_norm(x)).chunk(3, -1)
    turn = float(TIME) ** -(torch.arange(8).double() / 8)  # angle per bin
    time = torch.arange(2 * TIME) // 2
    turned = torch.exp(1j * (time[:, None] - time)[..., None] * turn)  # (tokens, tokens, 8)
    pairs = [torch.complex(rows[:, :8], rows[:, 8:]) for rows in (queries, keys)]
    scores = (pairs[0][:, None] * pairs[1].conj() * turned).real.sum(-1)
    mixed = torch.softmax(scores / 4, dim=-1) @ values
    y = x + block.attended(mixed)
    expected = (y + block.feed_forward(y)).view(1, TIME, 32)
    torch.testing.assert_close(network.encode([windows])[0], expected)


class TestMask:
    @pytest.mark.parametrize("session", [MONDAY, WIDE, OTHER])
    def test_what_is_hidden_is_not_seen(self, session):
        network, windows = make(), draw(session, 2)
        mask = torch.rand(windows.features.shape[:3]) > 0.5
        other = windows._replace(features=torch.where(mask[..., None], torch.nan, windows.features))
        one, two = (network([w], [mask]) for w in (windows, other))
        assert torch.equal(one.latent[0], two.latent[0])
        assert torch.equal(one.reconstruction[0], two.reconstruction[0])

    def test_no_gradient_reaches_what_is_hidden(self):
        network, windows = make(), draw(WIDE)
        features = windows.features.requires_grad_()
        mask = torch.rand(1, TIME, 7) > 0.5
        network([windows], [mask]).latent[0].square().sum().backward()
        reached = features.grad.abs().sum(-1) > 0
        assert torch.equal(reached, ~mask)

    def test_hidden_bins_are_told_from_bins_at_the_mean(self):
        network, windows = make(), draw(WIDE)
        silence = windows._replace(features=torch.zeros_like(windows.features))
        hidden = network.encode([silence], [torch.ones(1, TIME, 7, dtype=torch.bool)])[0]
        nothing = network.encode([silence], [torch.zeros(1, TIME, 7, dtype=torch.bool)])[0]
        assert not torch.allclose(hidden, nothing)
        assert torch.equal(nothing, network.encode([silence])[0])

    def test_the_mask_vector_counts_by_the_share_of_the_patch(self):
        grid = PatchGrid.of(7, 2)
        mask = torch.tensor([1, 1, 0, 1, 0, 0, 1], dtype=torch.bool)[None, None]
        share = PatchEmbedding(grid, BANDS, 16).share(mask)
        assert share.tolist() == [[[1.0, 0.5, 0.0, 1.0]]]

    def test_a_mask_of_another_shape_is_refused(self):
        with pytest.raises(ValueError, match="expected a mask"):
            make()([draw(MONDAY)], [torch.zeros(1, TIME, 2, dtype=torch.bool)])


def test_sessions_share_the_layers_and_nothing_else():
    network = make()
    mask = torch.rand(1, TIME, 3) > 0.5
    network([draw(MONDAY)], [mask]).reconstruction[0].square().sum().backward()
    learns = {name for name, p in network.named_parameters() if p.grad is not None}
    sessions = {name.split(".")[1] for name in learns if name.startswith(("emb", "read"))}
    assert len(sessions) == 1
    assert any(name.startswith("encoder") for name in learns)
    own = network.session_parameters(MONDAY.session_id)
    assert all(p.grad is not None for p in own)
    assert sum(p.numel() for p in own) == 3 * BANDS * 16 + 2 * 16
    before = network.encode([draw_same := draw(TUESDAY)])[0]
    with torch.no_grad():
        for p in own:
            p += 1
    assert torch.equal(network.encode([draw_same])[0], before)


def test_every_parameter_learns():
    network = make()
    windows = [draw(s, 2) for s in SESSIONS]
    masks = [torch.rand(w.features.shape[:3]) > 0.5 for w in windows]
    sum(r.square().sum() for r in network(windows, masks).reconstruction).backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())


def test_mixed_precision_stays_close():
    network, windows = make(torch.float32), [draw_windows(WIDE, 2, TIME)]
    expected = network(windows).latent[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = network(windows).latent[0]
    assert (found - expected).abs().max() < 0.1


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="multiple of an even headdim"):
        make(d_model=12)
    with pytest.raises(ValueError, match="patches of at least one channel"):
        make(patch_channels=0)
    with pytest.raises(ValueError, match="expected a session of this model"):
        make().encode([draw(MONDAY)._replace(session_id="nobody")])
    with pytest.raises(ValueError, match="3 channels, 2 bands"):
        make().encode([draw(WIDE)._replace(session_id=MONDAY.session_id)])
