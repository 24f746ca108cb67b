"""Build definition of Atelier; tool settings live in pyproject.toml."""

from pathlib import Path

from setuptools import find_packages, setup

setup(
    name="atelier-aws",
    version="0.1.0",
    description="GitOps for generative AI on AWS, runnable on one machine.",
    long_description=Path("README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11",
    package_dir={"": "src"},
    packages=find_packages("src"),
    include_package_data=True,
    package_data={"atelier": ["cloud/services/ec2/machine/*", "templates/*.sh"]},
    install_requires=[
        "aiohttp>=3.14",
        "awscli",
        "boto3==1.43.106",
        "click>=8.1",
        "docker>=7.2",
        "gitpython>=3.1",
        "h11>=0.16",
        "hypercorn",
        "ministack==1.5.33",
        "numpy>=2",
        "pyjwt[crypto]>=2.12",
        "pyyaml>=6",
        "rich>=13",
        "troposphere>=4.11",
    ],
    extras_require={
        # what the notebooks use; requirements/notebooks.lock leaves out what of it they never import
        "notebooks": ["ipykernel", "matplotlib", "nbclient", "pandas>=2", "sagemaker-train>=1.27,<2"],
    },
    entry_points={"console_scripts": ["atelier = atelier.__main__:main"]},
)
