"""What names that C++ compilers mangle say."""

from __future__ import annotations

import pytest

from stubgen.symbols.cxx import function_of_thunk

THUNKS = {
    b"_ZThn16_N1D1gEv": b"_ZN1D1gEv",
    b"_ZTh8_N1D1gEv": b"_ZN1D1gEv",
    b"__ZThn16_N1DD0Ev": b"__ZN1DD0Ev",
    b"_ZTv0_n24_N1D1gEv": b"_ZN1D1gEv",
    b"_ZTvn8_n32_N12_GLOBAL__N_11D1gEv": b"_ZN12_GLOBAL__N_11D1gEv",
    b"_ZTch0_v0_n24_N1D5cloneEv": b"_ZN1D5cloneEv",
    b"_ZTchn16_h8_N1D5cloneEv": b"_ZN1D5cloneEv",
    b"_ZN1D1gEv": b"",
    b"_ZTV1D": b"",
    b"_ZThn16_": b"",
    b"_ZTcN1D1gEv": b"",
    b"_ZTh1": b"",
}


@pytest.mark.parametrize("name", THUNKS)
def test_the_function_of_a_thunk(name: bytes) -> None:
    """A thunk taken for a function of its own would lead the host's objects to code for others."""
    assert function_of_thunk(name) == THUNKS[name]
