"""Package, dependencies and the console script `asrkit`; tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="asrkit",
    version="0.1.0",
    description="A declarative toolkit for training speech recognisers from scratch",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(include=["asrkit", "asrkit.*"]),
    package_data={"asrkit": ["py.typed"]},
    install_requires=[
        # Every torchaudio wheel is linked against the torch of the same release.
        "torch>=2.11,<2.12",
        "torchaudio>=2.11,<2.12",
        "numpy",
        "pyyaml",
        "lhotse>=1.33,<2",
        "urllib3",  # imported, but not declared, by lhotse 1.33
        "sentencepiece",
        "tensorboard",
        "soundfile",
        "kaldialign",
        "safetensors",
        "click",
        "rich",
        "matplotlib",
    ],
    extras_require={
        "toy": ["espeakng-loader"],
        "test": [
            "espeakng-loader",
            "hypothesis",
            "kenlm",
            "mypy",
            "pytest",
            "ruff",
            "types-PyYAML",
        ],
    },
    entry_points={"console_scripts": ["asrkit = asrkit.cli:main"]},
)
