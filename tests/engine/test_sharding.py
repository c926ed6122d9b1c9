"""One model over several devices: the same bits, and a share of the weights on each."""

import json
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import bitnet_engine as engine
from bitnet_engine import kernels
from bitnet_engine.sharding import ONE_DEVICE, Split, mesh_of

DEVICES = "--xla_force_host_platform_device_count=4"
TERNARY = ("two heads", "eight heads", "nothing divides", "norms of inputs")
FLOATS = ("a scale for each block", "floats")


def asked(root, *cases, kernel):
    """Run cases of `split_program` in a process of four devices."""
    env = {**os.environ, "BITNET_KERNEL": kernel, "XLA_FLAGS": DEVICES}
    command = [sys.executable, "-m", "tests.engine.split_program", *cases]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=env, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def here(root):
    """Every case, multiplied by what multiplies on this machine."""
    return asked(root, *TERNARY, *FLOATS, kernel="auto")


@pytest.mark.parametrize("case", TERNARY)
def test_the_logits_of_a_split_model_are_those_of_one_device_to_the_bit(here, case):
    """Red when a sum is taken over devices, a part is gathered in the wrong order, or padding is not cut off."""
    assert set(here["equal"][case].values()) == {True}


@pytest.mark.skipif(kernels.backend().name != "native", reason="XLA is what multiplies anyway")
def test_the_same_bits_where_xla_multiplies(root):
    """Red when slabs are cut elsewhere than tiles."""
    found = asked(root, "nothing divides", kernel="xla")
    assert found["kernel"] == "xla"
    assert all(set(counts.values()) == {True} for counts in found["equal"].values())


@pytest.mark.parametrize("case", FLOATS)
def test_matrices_of_floats_are_the_same_but_for_rounding(here, case):
    """Red when the rows of a dense matrix, or the scales of its blocks, go to another device than its result."""
    assert set(here["close"][case].values()) == {True}


def test_a_device_holds_its_share_of_the_packed_weights(here):
    """Red when a matrix is replicated; padding to whole tiles may cost a little."""
    one, each = here["shares"]["one"], here["shares"]["each"]
    assert len(each) == 4
    assert max(each) < 0.3 * one


def test_the_noise_floor_of_a_split_model_is_that_of_one_device(here):
    """Red when a variant reads or writes the embedding as if one device had all of it."""
    assert here["variants"] == {"HalfUlp": True, "OtherShape": True}


def test_attention_is_split_where_each_device_gets_heads(here):
    """Red when five heads are cut in two, or eight heads are computed by every device."""
    assert here["heads"]["eight heads"] == {"4": True}
    assert here["heads"]["nothing divides"] == {"4": False}
    assert here["heads"]["two heads"] == {"2": False, "4": False}


def test_a_mesh_of_one_device_is_a_mesh(packed, sample):
    """Red when load forgets the mesh, or a split model cannot be asked like any other."""
    model = engine.load(packed, mesh=mesh_of(jax.devices()[:1]))
    assert model.split.describe() == "1 device, matrices by rows, attention whole on each"
    assert np.array_equal(model.logits([1, 2, 3]), sample.logits([1, 2, 3]))


def test_what_is_not_split_is_left_alone():
    """Red when one device pays for a mesh that is not there."""
    table = jnp.arange(12.0).reshape(4, 3)
    assert ONE_DEVICE.place_table(table) is table
    assert ONE_DEVICE.devices == 1
    assert Split().describe() == "one device"
