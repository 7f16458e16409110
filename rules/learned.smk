"""Training of the learned codecs' networks from scratch; no other rule depends on it.

    snakemake --cores all train_mean_scale_0.0154 --config 'training={data: [FOLDER, FOLDER], validation: [FOLDER]}'
    snakemake --cores all train_all --configfile ...

A model that starts from another waits for it. A training that was interrupted resumes where it stopped.
"""

import re

from codecs_wrappers.learned.training import config as training


rule train_all:
    """Every network that training/models/ describes."""
    input:
        [training.weights_file(model) for model in training.names()],


rule train:
    """One network, with its training curves and its entry for the weights manifest next to it."""
    input:
        lambda wildcards: (
            training.weights_file(model)
            if (model := training.starts_from(wildcards.model))
            else []
        ),
        config=training.HERE / "models" / "{model}.yaml",
    output:
        weights=training.weights_file("{model}"),
        entry=training.weights_file("{model}").with_suffix(".yaml"),
    log:
        training.weights_file("{model}").with_name("train.log"),
    wildcard_constraints:
        model="|".join(re.escape(model) for model in training.names()),
    resources:
        gpu=1,
    params:
        arguments=lambda wildcards: training.arguments(
            config["training"], wildcards.model
        ),
    shell:
        "rdbench train {wildcards.model:q} {params.arguments:q} > {log:q} 2>&1"


for model in training.names():

    rule:
        name:
            f"train_{model}"
        input:
            training.weights_file(model),
