"""How the builder and the paper are cited: what CITATION.cff says, which no installed package carries; a test compares them."""

PAPER = """\
@inproceedings{yang2025democratizing,
  title = {Democratizing High-Fidelity Co-Speech Gesture Video Generation},
  author = {Yang and others},
  booktitle = {IEEE/CVF International Conference on Computer Vision (ICCV)},
  year = {2025}
}"""
SOFTWARE = """\
@software{csg405builder,
  title = {CSG-405 builder},
  author = {{The CSG-405 builder maintainers}},
  version = {0.1.0},
  license = {Apache-2.0}
}"""
