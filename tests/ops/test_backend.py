"""Which form is used: by the arrays, by name, and never another than the one that was asked for."""

from __future__ import annotations

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from fuzzy_stacks import layer_of

from mpmjax.errors import BackendError, MpmError
from mpmjax.ops import backend, cuda
from mpmjax.ops.membership import membership
from mpmjax.ops.plan import plan_memberships
from mpmjax.types import Membership

PLAN = plan_memberships([layer_of("float32")] * 2, [Membership("linear", {"lo": 0.0, "hi": 1.0})] * 2)
HOST = np.array([0.25, np.nan], np.float32)


class Ndarray:
    """Stands for a CuPy array: what is looked at is the library of its class."""

    dtype, shape = np.dtype("float32"), (2,)


Ndarray.__module__ = "cupy._core.core"


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine without a card; the reason it gives."""
    reason = "No NVIDIA driver is loaded on this machine: install one."
    monkeypatch.setattr(cuda, "refusal", lambda: reason)
    return reason


@pytest.fixture
def a_card(monkeypatch: pytest.MonkeyPatch) -> str:
    """A machine with a card, as far as choosing goes; what it is."""
    monkeypatch.setattr(cuda, "refusal", lambda: None)
    monkeypatch.setattr(cuda, "describe", lambda: "CuPy 14.1, one fast card")
    return "CuPy 14.1, one fast card"


# auto goes where the arrays are


@pytest.mark.parametrize("arrays", [[HOST], [HOST, HOST[::2]], [HOST[:0]], [HOST.view(np.recarray), HOST]])
def test_auto_leaves_numpy_arrays_on_the_cpu(arrays, a_card):
    assert backend.choose("membership", "auto", arrays) == "cpu"


def test_auto_takes_jax_arrays_to_jax(no_card):
    assert backend.choose("membership", "auto", [jnp.asarray(HOST)]) == "jax"
    seen = []

    def choose(x: jax.Array) -> jax.Array:
        seen.append(backend.choose("membership", "auto", [x]))
        return x

    jax.jit(lambda x: jax.vmap(choose)(choose(x)))(jnp.zeros((2, 2)))  # what is traced has no home but JAX
    assert seen == ["jax", "jax"]


@pytest.mark.parametrize("count", [1, 2])
def test_auto_takes_cupy_arrays_to_cuda(count, a_card):
    assert backend.choose("membership", "auto", [Ndarray()] * count) == "cuda"


@pytest.mark.parametrize("arrays", [[HOST, Ndarray()], [HOST, jnp.asarray(HOST)], [jnp.asarray(HOST), Ndarray()]])
def test_auto_refuses_arrays_of_two_places(arrays, a_card):
    with pytest.raises(BackendError, match=r"membership: .*different places \((cpu|cuda), (cuda|jax)\)"):
        backend.choose("membership", "auto", arrays)


# A name is obeyed, or refused with its reason


@pytest.mark.parametrize("name", ["cpu", "numpy", "jax"])
def test_a_name_is_obeyed(name, a_card):
    assert backend.choose("membership", name, [HOST]) == name


def test_jax_may_be_asked_for_arrays_of_both(no_card):
    assert backend.choose("membership", "jax", [HOST, jnp.asarray(HOST)]) == "jax"


def test_cuda_may_be_asked_for_host_arrays(a_card):
    assert backend.choose("membership", "cuda", [HOST]) == "cuda"


@pytest.mark.parametrize("arrays", [[HOST], [Ndarray()], [jnp.asarray(HOST)]])
def test_cuda_by_name_where_it_is_absent_is_an_error_with_the_reason(arrays, no_card):
    with pytest.raises(BackendError, match=r"Backend cuda was asked for .*: No NVIDIA driver .*install"):
        backend.choose("membership", "cuda", arrays)


@pytest.mark.parametrize("name", ["tpu", "CPU", "", "reference", "gpu"])
def test_unknown_names_are_answered_with_those_allowed(name):
    with pytest.raises(BackendError, match=rf"Unknown backend {name!r}; allowed: auto, cpu, cuda, jax, numpy"):
        backend.choose("membership", name, [HOST])


@pytest.mark.parametrize("name", ["cpu", "numpy"])
@pytest.mark.parametrize("array", [jnp.asarray(HOST), Ndarray()])
def test_the_forms_of_the_host_refuse_other_arrays(name, array, a_card):
    """Nothing crosses the bus, or waits for a device, in silence."""
    home = "jax" if isinstance(array, jax.Array) else "cuda"
    with pytest.raises(BackendError, match=rf"membership: backend {name} takes NumPy arrays, these are of {home}"):
        backend.choose("membership", name, [array])
    with pytest.raises(BackendError, match=rf"backend {name} takes NumPy arrays, these are of cpu, {home}"):
        backend.choose("membership", name, [HOST, array])


def test_a_form_that_an_op_lacks_is_refused(monkeypatch):
    monkeypatch.setitem(backend.FORMS, "membership", ("cpu", "numpy"))
    with pytest.raises(BackendError, match="membership has no jax form; it has: cpu, numpy"):
        backend.choose("membership", "jax", [HOST])


def test_require(no_card):
    backend.require("auto")
    backend.require("cpu")
    with pytest.raises(MpmError, match=no_card):
        backend.require("cuda")


# What is said of them


def test_survey_has_all_in_order(no_card):
    found = backend.survey()
    assert tuple(one.name for one in found) == backend.BACKENDS == ("cpu", "cuda", "jax", "numpy")
    for one in found:
        assert bool(one.what) != bool(one.refusal), one
    assert [one.name for one in found if one.refusal] == ["cuda"]
    assert found[1].refusal == no_card


def test_what_can_be_used_is_told_with_its_version(a_card):
    said = {one.name: one.what for one in backend.survey()}
    assert said["cuda"] == a_card
    assert f"JAX {jax.__version__}, " in said["jax"]
    assert f"NumPy {np.__version__}" in said["numpy"]
    assert f"{len(os.sched_getaffinity(0))} cores" in said["cpu"]
    assert "Numba " in said["cpu"]


def test_jax_that_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr(backend.util, "find_spec", lambda name: None)
    told = backend.availability("jax")
    assert not told.what
    assert "pip install jax" in told.refusal
    with pytest.raises(BackendError, match=r"Backend jax was asked for .* JAX is not installed"):
        backend.choose("membership", "jax", [HOST])


def test_asking_loads_nothing_heavy():
    """`mpmjax` answers quickly: neither choosing nor the survey may import what it only asks about."""
    code = (
        "import sys, numpy; from mpmjax.ops import backend; "
        "backend.choose('membership', 'auto', [numpy.zeros(1)]); backend.availability('jax'); "
        "backend.availability('cpu'); print([m for m in ('jax', 'numba', 'cupy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


# And membership goes by it


@pytest.mark.parametrize(("name", "kind"), [("auto", np.ndarray), ("cpu", np.ndarray), ("numpy", np.ndarray)])
def test_results_are_of_the_form_that_computed_them(name, kind):
    mu, ok, joined = membership([HOST, HOST], PLAN, backend=name)
    assert type(mu) is type(ok) is kind
    assert joined is None
    assert mu.tolist() == [[0.25, 0.0]] * 2


@pytest.mark.parametrize(("name", "array"), [("jax", HOST), ("auto", jnp.asarray(HOST))])
def test_results_of_jax_stay_there(name, array):
    mu, ok, _ = membership([array, array], PLAN, backend=name)
    assert isinstance(mu, jax.Array)
    assert isinstance(ok, jax.Array)
    assert mu.dtype == np.float32
    assert np.asarray(mu).tolist() == [[0.25, 0.0]] * 2


def test_membership_refuses_with_the_reason(no_card):
    with pytest.raises(BackendError, match="cannot be used: No NVIDIA driver"):
        membership([HOST, HOST], PLAN, backend="cuda")
    with pytest.raises(BackendError, match="Unknown backend 'tpu'"):
        membership([HOST, HOST], PLAN, backend="tpu")
    with pytest.raises(BackendError, match="different places"):
        membership([HOST, jnp.asarray(HOST)], PLAN)
    with pytest.raises(BackendError, match="takes NumPy arrays"):
        membership([jnp.asarray(HOST)] * 2, PLAN, backend="cpu")
