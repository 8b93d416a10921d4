# Every command stands on the environment that the first one sets up; the logic is in Python.
PYTHON ?= python3
PORT ?= 8080
TAG ?= 0.1.0
KUBECTL := .venv/bin/kubectl
export PYTHONSAFEPATH := 1
export PYTHONPATH := transformers:export:serving:tests/bench
RUN := .venv/bin/python

.PHONY: help python setup setup-dev serve test check export train demo torture bench load prometheus release publish lint-manifests render deploy undeploy canary promote rollback releases compare update images smoke publish-images move-images clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

python:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, 3.12 or 3.13, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }

setup: python
	@$(PYTHON) serving/local_stack/environment.py

setup-dev: python
	@$(PYTHON) serving/local_stack/environment.py --dev

serve: $(if $(OVERLAY),setup-dev,setup)  ## set everything up and serve on 127.0.0.1 (PORT=8080, TRITON_PORT=8000, SERVICES=cars, OVERLAY=fallback)
	@exec $(RUN) -m local_stack --die-with-parent --port $(PORT) $(if $(SERVICES),--services $(SERVICES)) $(if $(OVERLAY),--overlay $(OVERLAY)) $(ARGS)

test: setup-dev  ## set everything up and run all tests (ARGS="-k letterbox")
	@$(RUN) -m pytest $(ARGS)

check: setup-dev  ## format, lint and types
	@$(RUN) -m ruff format --check . && $(RUN) -m ruff check . && $(RUN) -m mypy

export: setup  ## weights to artefacts in model_repository/ (MODEL="yolov3_tiny mnist", ARGS="--cfg my.cfg ...")
	@$(RUN) -m exporters $(MODEL) $(ARGS)

train: setup  ## train a model: MODEL=mnist|anomaly|cars, DATA=, COLUMN=, EPOCHS=, SEED=, ARGS="--resume"
	@$(RUN) -m exporters.training $(MODEL) $(if $(DATA),--data $(DATA)) $(if $(COLUMN),--column $(COLUMN)) \
	  $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

demo: setup  ## send the sample photos to a running stack, draw what came back into build/demo/
	@$(RUN) -m local_stack.demo --url http://127.0.0.1:$(PORT)

torture: setup-dev  ## break a stack of its own on purpose, under load, and print what callers saw (ARGS=--short)
	@$(RUN) -m torture $(ARGS)

bench: setup-dev  ## measure ours beside the raw models and the seeds' servers: a table, plots, build/bench (ARGS="--only memory")
	@$(RUN) -m bench $(ARGS)

load: setup-dev  ## Locust's users on a running server, and its size: STUDY=ramp|surface|check|size|web (ARGS="--url http://...")
	@$(RUN) -m load $(or $(STUDY),ramp) $(ARGS)

prometheus: setup  ## a real Prometheus with our alerts on a running stack, on 127.0.0.1:9090 (Debian's package; PORT=, TRITON_PORT=)
	@exec $(RUN) -m monitoring --stack-port $(PORT) --triton-port $(or $(TRITON_PORT),8000) $(ARGS)

release: setup-dev  ## build and check a release of a service's models: SERVICE=detector (WEIGHTS_DIR=, ARGS="--force --sign-key key.pem")
	@$(RUN) -m releases build "$(SERVICE)" $(if $(WEIGHTS_DIR),--weights-dir $(WEIGHTS_DIR)) $(ARGS)

publish: setup-dev  ## put a release into storage: SERVICE=detector TO=s3://bucket|gs://|az://|file:///|oci:/// (RELEASE=, ARGS=--archive)
	@$(RUN) -m releases publish $(SERVICE) $(if $(RELEASE),--release $(RELEASE)) --to "$(TO)" $(ARGS)

lint-manifests: setup-dev  ## render and check all overlays, or OVERLAY=name
	@$(RUN) -m manifest_lint $(OVERLAY)

render: setup-dev  ## print what an overlay declares: OVERLAY=name
	@$(RUN) -m manifest_lint --render $(OVERLAY)

deploy: setup-dev  ## apply an overlay, after a dry run on the server: OVERLAY=name
	@$(KUBECTL) apply -f manifests/base/namespace.yaml
	@$(KUBECTL) apply --server-side --dry-run=server -k manifests/overlays/$(OVERLAY)
	@$(KUBECTL) apply --server-side -k manifests/overlays/$(OVERLAY)

undeploy: setup-dev  ## take an overlay down again: OVERLAY=name
	@$(KUBECTL) delete --ignore-not-found -k manifests/overlays/$(OVERLAY)

canary: setup-dev  ## try a release on a share of the traffic: SERVICE=digits RELEASE=2026-... PERCENT=10 [WHY="..."]
	@$(RUN) -m releases canary "$(SERVICE)" "$(RELEASE)" "$(PERCENT)" $(if $(WHY),--why "$(WHY)") \
	  $(if $(UNCHECKED),--unchecked) $(if $(UNTRAINED),--untrained)

promote: setup-dev  ## let the canary serve all requests: SERVICE=digits [WHY="..."]
	@$(RUN) -m releases promote "$(SERVICE)" $(if $(WHY),--why "$(WHY)")

rollback: setup-dev  ## end the canary, or else go back to the release before: SERVICE=digits [WHY="..."]
	@$(RUN) -m releases rollback "$(SERVICE)" $(if $(WHY),--why "$(WHY)")

releases: setup-dev  ## list releases, what serves and the latest changes (SERVICE=digits)
	@$(RUN) -m releases list $(SERVICE)
compare: setup-dev  ## two releases side by side over the same pictures: SERVICE=detector OLD=initial NEW=2026-... [DATA=folder]
	@$(RUN) -m releases compare "$(SERVICE)" "$(OLD)" "$(NEW)" $(if $(DATA),--data "$(DATA)")

update: setup-dev  ## another release takes over in the stack that runs on PORT, no request lost: SERVICE=detector RELEASE=2026-...
	@$(RUN) -m releases update "$(SERVICE)" "$(RELEASE)" --port $(PORT)

images:  ## build both images with Docker (TAG=0.1.0)
	@docker build -f transformers/Dockerfile -t modelport-transformer:$(TAG) .
	@docker build -f serving/Dockerfile -t modelport-triton:$(TAG) .

smoke: setup  ## start compose.yaml, send the sample photos, stop it
	@docker compose up -d --wait && $(RUN) -m local_stack.demo --url http://127.0.0.1:8080; s=$$?; docker compose down; exit $$s

publish-images:  ## build and push both images with SBOM and provenance: REGISTRY=host/name TAG=
	@for n in transformer:transformers triton:serving; do docker buildx build --push --sbom=true --provenance=mode=max \
	  -f $${n#*:}/Dockerfile -t $(REGISTRY)/modelport-$${n%%:*}:$(TAG) . || exit 1; done

move-images: setup-dev  ## name published images in manifests/images: REGISTRY=host/name TAG=
	@$(RUN) -m manifest_lint.images "$(REGISTRY)" "$(TAG)"

clean:  ## remove what was built, not the environment
	@rm -rf build model_repository/*/[0-9]*
