# `make X` sets up what X needs and calls it; the logic is in Python, behind the command `modelport`.
PYTHON ?= python3
PORT ?= 8080
TAG ?= 0.1.0
RUN := .venv/bin/modelport
SET_UP = $(PYTHON) -m modelport.environment $(if $(filter file,$(origin PYTHON)),,--exactly)

.PHONY: help python setup serve status logs test test-slow check export quantise train demo torture soak bench tune load prometheus release publish manifests lint-manifests overlay render deploy undeploy check-cluster test-cluster canary promote rollback shadow releases compare evaluate update images smoke publish-images move-images clean clean-frameworks

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 7))' 2>/dev/null || { \
	  echo "$(PYTHON) is missing or older than 3.7: install Python 3.11, 3.12 or 3.13, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }

setup: python
	@$(SET_UP)

setup-%: python
	@$(SET_UP) $*

serve: $(if $(OVERLAY),overlay) setup  ## set everything up and serve on 127.0.0.1 (PORT=8080, TRITON_PORT=8000, SERVICES=cars, OVERLAY=fallback)
	@exec $(RUN) serve --die-with-parent --port $(PORT) $(if $(SERVICES),--services $(SERVICES)) $(if $(OVERLAY),--overlay $(OVERLAY)) $(ARGS)

status: setup  ## what runs on this machine, since when, ready or why not, which release, requests so far
	@$(RUN) status $(ARGS)

logs: setup  ## the logs of a running stack in one (ARGS=--follow)
	@$(RUN) logs $(ARGS)

test: setup  ## set everything up and run the tests, or those that ARGS selects (ARGS="-k letterbox")
	@.venv/bin/python -P tests/run.py $(ARGS)

test-slow: setup  ## run the slow tests: image builds, all faults of make torture, benchmarks, training, a fresh clone
	@.venv/bin/python -P tests/run.py --slow $(ARGS)

check: python  ## check format, lint and types
	@$(SET_UP) test manifests client releases bench
	@.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/mypy

export: setup  ## build artefacts in model_repository/ from weights (MODEL="yolov3_tiny mnist", ARGS="--cfg my.cfg ...")
	@$(RUN) export $(MODEL) $(ARGS)

quantise: setup  ## make an int8 network of a model, prove it, and write it as a new version: MODEL=yolov3_tiny [DATA=folder]
	@$(RUN) quantise "$(MODEL)" $(if $(DATA),--data "$(DATA)") $(ARGS)

train: setup  ## train a model: MODEL=mnist|anomaly|cars, DATA=, COLUMN=, EPOCHS=, SEED=, ARGS="--resume"
	@$(RUN) train $(MODEL) $(if $(DATA),--data $(DATA)) $(if $(COLUMN),--column $(COLUMN)) \
	  $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

demo: setup  ## send the sample images to a running stack, draw the detections into build/demo/
	@$(RUN) demo --url http://127.0.0.1:$(PORT)

torture: setup  ## inject faults into a stack of its own under load, and print what callers saw (ARGS=--short)
	@$(RUN) torture $(ARGS)

soak: setup  ## send mixed traffic, faults, updates and hostile files for MINUTES=60, and measure what must not grow
	@$(RUN) soak --minutes $(or $(MINUTES),60) $(ARGS)

bench: setup  ## measure beside the raw models and the legacy servers: tables and plots in build/bench (ARGS="--only memory")
	@$(RUN) bench $(ARGS)

tune: setup  ## find the instances, threads and batching that suit a model on this machine: MODEL=mnist (ARGS="--profile latency --write")
	@$(RUN) tune "$(MODEL)" $(ARGS)

load: setup  ## run load studies by Locust on a running server: STUDY=ramp|surface|web (ARGS="--url http://...")
	@$(RUN) load $(or $(STUDY),ramp) $(ARGS)

prometheus: setup  ## run a real Prometheus with our alerts beside a running stack, on 127.0.0.1:9090 (Debian's package; PORT=, TRITON_PORT=)
	@exec $(RUN) prometheus --stack-port $(PORT) --triton-port $(or $(TRITON_PORT),8000) $(ARGS)

release: setup  ## build and check a release of a service's models: SERVICE=detector (WEIGHTS_DIR=, ARGS="--force --sign-key key.pem")
	@$(RUN) release "$(SERVICE)" $(if $(WEIGHTS_DIR),--weights-dir $(WEIGHTS_DIR)) $(ARGS)

publish: setup  ## upload a release to storage: SERVICE=detector TO=s3://bucket|gs://|az://|file:///|oci:/// (RELEASE=, ARGS=--archive)
	@$(RUN) publish $(SERVICE) $(if $(RELEASE),--release $(RELEASE)) --to "$(TO)" $(ARGS)

manifests: setup  ## write what services.yaml declares into manifests/, after a change of it
	@$(RUN) manifests

# Before anything is installed.
overlay:
	@test -n "$(OVERLAY)" && test -f "manifests/overlays/$(OVERLAY)/kustomization.yaml" || { echo "error: there is no overlay \"$(OVERLAY)\": write OVERLAY=name with one of: $$(ls manifests/overlays | tr '\n' ' ')" >&2; exit 1; }

lint-manifests: $(if $(OVERLAY),overlay) setup  ## render and check all overlays, or OVERLAY=name as it would be deployed
	@$(RUN) lint $(OVERLAY)

render: overlay setup  ## print what an overlay declares: OVERLAY=name
	@$(RUN) render $(OVERLAY)

deploy: overlay setup-manifests  ## apply an overlay, after checks and a dry run on the server: OVERLAY=name (PRUNE=1)
	@$(RUN) deploy $(OVERLAY) $(if $(PRUNE),--prune)

undeploy: overlay setup-manifests  ## remove an overlay from the cluster: OVERLAY=name
	@$(RUN) undeploy $(OVERLAY)

check-cluster: $(if $(OVERLAY),overlay) setup-manifests  ## say what KUBECONFIG's cluster lacks for overlays, or for OVERLAY=name, and what installs it
	@$(RUN) check-cluster $(OVERLAY)

test-cluster: overlay setup  ## try an overlay on KUBECONFIG's cluster, in a namespace of its own: OVERLAY=name (ARGS="--cpu 50m")
	@$(RUN) test-cluster $(OVERLAY) $(ARGS)

canary: setup  ## give a release a share of the traffic: SERVICE=digits RELEASE=2026-... PERCENT=10, or AUTO=1 [STEPS=5,50,100] [EVERY=10] [WHY="..."]
	@$(RUN) canary "$(SERVICE)" "$(RELEASE)" $(if $(AUTO),--auto,"$(PERCENT)") $(if $(STEPS),--steps $(STEPS)) \
	  $(if $(EVERY),--every $(EVERY)) $(if $(WHY),--why "$(WHY)") $(if $(UNCHECKED),--unchecked) $(if $(UNTRAINED),--untrained) $(ARGS)

shadow: setup  ## copy requests to a release: SERVICE=digits RELEASE=2026-... [PERCENT=20]; judge: no RELEASE; END=1
	@$(RUN) shadow "$(SERVICE)" $(if $(RELEASE),"$(RELEASE)") $(if $(PERCENT),--percent $(PERCENT)) $(if $(END),--end) \
	  $(if $(WHY),--why "$(WHY)") $(if $(UNCHECKED),--unchecked) $(if $(UNTRAINED),--untrained) $(ARGS)

promote: setup  ## let the canary serve all traffic: SERVICE=digits [WHY="..."]
	@$(RUN) promote "$(SERVICE)" $(if $(WHY),--why "$(WHY)")

rollback: setup  ## end the canary, or else return to the release before: SERVICE=digits [WHY="..."]
	@$(RUN) rollback "$(SERVICE)" $(if $(WHY),--why "$(WHY)")

releases: setup  ## list releases, which of them serve, and the latest changes (SERVICE=digits)
	@$(RUN) releases $(SERVICE)

compare: setup  ## compare two releases over the same samples: SERVICE=detector OLD=initial NEW=2026-... [DATA=folder]
	@$(RUN) compare "$(SERVICE)" "$(OLD)" "$(NEW)" $(if $(DATA),--data "$(DATA)") || { s=$$?; \
	  echo "exit code $$s; make itself ends with 2: in scripts, call $(RUN) compare" >&2; exit $$s; }

evaluate: setup  ## measure accuracy or mAP on labelled data: SERVICE=digits DATA=folder|file.csv|coco.json (ARGS="--min-accuracy 0.98")
	@$(RUN) evaluate "$(SERVICE)" --data "$(DATA)" $(ARGS)

update: setup  ## switch the stack that runs on PORT to another release, no request lost: SERVICE=detector RELEASE=2026-...
	@$(RUN) update "$(SERVICE)" "$(RELEASE)" --port $(PORT)

images:  ## build both images with Docker (TAG=0.1.0)
	@docker build -f transformers/Dockerfile -t modelport-transformer:$(TAG) .
	@docker build -f triton/Dockerfile -t modelport-triton:$(TAG) .

smoke: setup  ## start compose.yaml, send the sample images, stop it
	@docker compose up -d --wait && $(RUN) demo --url http://127.0.0.1:8080; s=$$?; docker compose down; exit $$s

publish-images:  ## build and push both images with SBOM and provenance: REGISTRY=host/name TAG=
	@for n in transformer:transformers triton:triton; do docker buildx build --push --sbom=true --provenance=mode=max \
	  -f $${n#*:}/Dockerfile -t $(REGISTRY)/modelport-$${n%%:*}:$(TAG) . || exit 1; done

move-images: setup  ## write the names of published images into manifests/images: REGISTRY=host/name TAG=
	@$(RUN) images "$(REGISTRY)" "$(TAG)"

clean:  ## remove build/ and the artefacts, keep the environments
	@rm -rf build model_repository/*/[0-9]*

clean-frameworks:  ## remove the environments of PyTorch, TensorFlow and NNCF; a command that needs one creates it again
	@rm -rf .venv-torch .venv-tensorflow .venv-quantise
