"""Everything that is made from the trained networks, in order; a step whose inputs have not changed is left out.

    snakemake --cores all publish --config 'training={data: [FOLDER], validation: [FOLDER]}' reason='what changed, and why'

finished trainings -> committed weights -> what is derived from them -> stored bitstreams, baselines of the gate
                                        -> runs of config/sample.yaml and config/kodak.yaml -> reports/ -> README.md, docs/
"""

PUBLISH = Path("results/publish")
PUBLISHED = ["sample", "kodak"]
# The runs with a baseline in results/baselines/.
GATES = ["gate", "synthetic", "sample"]
# Of training images.
FOLDERS = {key: config["training"].get(key, []) for key in ("data", "validation")}


# The manifest has the hash of every file.
WEIGHTS = files(
    "codecs_wrappers/learned/weights.yaml", "codecs_wrappers/learned/weights/*.yaml"
)
CODING = WEIGHTS + [
    path
    for path in files("bench/**/*.py", "codecs_wrappers/**/*.py")
    if not path.startswith("codecs_wrappers/learned/training/")
]
PAGE = files(
    "bench/report/**/*", "bench/rd/published/*", "*.yaml", "rules/*.smk", "Snakefile"
)


rule publish:
    """Weights, stored bitstreams, baselines, reports and the numbers in the docs, all of one state."""
    input:
        PUBLISH / "docs.done",
        PUBLISH / "bitstreams.done",
        [PUBLISH / f"{name}.baseline.done" for name in GATES],


rule shipped:
    """Every finished training in results/training that is better than what is committed."""
    input:
        files("results/training/*/*.yaml", "results/training/*/branch/*.yaml"),
    output:
        touch(PUBLISH / "shipped.done"),
    log:
        PUBLISH / "logs" / "shipped.log",
    shell:
        "rdbench ship-weights --finished > {log:q} 2>&1"


rule derived:
    """STanH's quantizers and QSF's factors of the networks that changed, ResGDN's operating points."""
    input:
        PUBLISH / "shipped.done",
        WEIGHTS,
        files("codecs_wrappers/learned/training/models/*.yaml"),
    output:
        touch(PUBLISH / "derived.done"),
    log:
        PUBLISH / "logs" / "derived.log",
    threads: ALL_CORES
    params:
        data=["--data", *FOLDERS["data"]] if FOLDERS["data"] else [],
        validation=(
            ["--validation", *FOLDERS["validation"]] if FOLDERS["validation"] else []
        ),
        textured=["--textured", *FOLDERS["data"]] if FOLDERS["data"] else [],
        images=FOLDERS["validation"],
    shell:
        "(rdbench derive-weights {params.data:q} {params.validation:q}"
        " && rdbench resgdn-points {params.images:q} {params.textured:q} --every 5 --if-changed) > {log:q} 2>&1"


rule bitstreams:
    """The stored bitstreams of codecs whose weights were replaced; the others stay, as they have to decode for ever."""
    input:
        PUBLISH / "derived.done",
        WEIGHTS,
    output:
        touch(PUBLISH / "bitstreams.done"),
    log:
        PUBLISH / "logs" / "bitstreams.log",
    shell:
        "python tests/fixtures/make_bitstreams.py > {log:q} 2>&1"


rule measured:
    """The run of config/NAME.yaml, by a Snakemake of its own: here each configuration is one plan."""
    input:
        PUBLISH / "derived.done",
        CODING,
        "config/{name}.yaml",
        "datasets.yaml",
    output:
        touch(PUBLISH / "{name}.measured.done"),
    log:
        PUBLISH / "logs" / "{name}.measured.log",
    wildcard_constraints:
        name="[a-z]+",
    threads: ALL_CORES
    shell:
        "snakemake --cores {threads:q} --configfile config/{wildcards.name:q}.yaml --"
        " results/{wildcards.name:q}/records.parquet > {log:q} 2>&1"


rule baseline:
    """What the run measured becomes the baseline of the gate, for the reason that --config reason=... gives."""
    input:
        PUBLISH / "{name}.measured.done",
    output:
        touch(PUBLISH / "{name}.baseline.done"),
    log:
        PUBLISH / "logs" / "{name}.baseline.log",
    params:
        reason=["--reason", config["reason"]] if config["reason"] else [],
    shell:
        "rdbench baseline update --folder results/{wildcards.name:q} {params.reason:q} > {log:q} 2>&1"


rule published:
    """The report of config/NAME.yaml in reports/NAME; tables, figures and page are always made again."""
    input:
        PUBLISH / "{name}.measured.done",
        PAGE,
    output:
        touch(PUBLISH / "{name}.published.done"),
    log:
        PUBLISH / "logs" / "{name}.published.log",
    threads: ALL_CORES
    shell:
        "(snakemake --cores {threads:q} --configfile config/{wildcards.name:q}.yaml"
        " --forcerun compare validation claims figures report -- all"
        " && rdbench publish {wildcards.name:q}) > {log:q} 2>&1"


rule plonq:
    """PLONQ's levels and orders compared on validation images with the committed network, for docs/plonq.md."""
    input:
        PUBLISH / "derived.done",
        files("codecs_wrappers/learned/plonq/*.py"),
    output:
        touch(PUBLISH / "plonq.done"),
    log:
        PUBLISH / "logs" / "plonq.log",
    params:
        images=[f"folder:{folder}" for folder in FOLDERS["validation"][:1]],
    shell:
        "(for images in {params.images:q}; do for what in levels orders; do"
        " rdbench plonq-$what --dataset $images --images 8 --crop 256 --table docs/data/plonq_$what.csv"
        " || exit 1; done; done) > {log:q} 2>&1"


rule docs:
    """The numbers in README.md and the docs, from the published reports, the manifest and docs/data."""
    input:
        [PUBLISH / f"{name}.published.done" for name in PUBLISHED],
        PUBLISH / "plonq.done",
        files("docs/*.py", "docs/targets.yaml"),
    output:
        touch(PUBLISH / "docs.done"),
    log:
        PUBLISH / "logs" / "docs.log",
    shell:
        "python docs/facts.py > {log:q} 2>&1"
