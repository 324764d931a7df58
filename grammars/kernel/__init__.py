"""The native kernel. This is the only module that imports it; a missing build is one clear sentence."""

try:
    from grammars.kernel import _kernel as native
except ImportError as e:  # pragma: no cover - only without a build
    raise ImportError(
        "the native kernel of `grammars` is not built; run `pip install -e .` in the project's folder (needs a C++ compiler)"
    ) from e

__all__ = ["native"]
