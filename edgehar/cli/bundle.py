"""`edgehar bundle`: take a model bundle apart, and add an encoder that was compiled for an Edge TPU."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edgehar.cli.common import EXIT_DONE

if TYPE_CHECKING:
    from typing import Any

_EXAMPLES = """\
examples:
  edgehar bundle unpack fight fight/                 encoder.tflite, head.tflite, manifest.json and the others
  edgetpu_compiler -s -o fight fight/encoder.tflite  (on another machine; writes fight/encoder_edgetpu.tflite)
  edgehar bundle add-edgetpu fight fight/encoder_edgetpu.tflite --out fight-tpu.edgehar"""


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the subcommand with its own."""
    parser = subparsers.add_parser(
        "bundle",
        help="take a model bundle apart, or add an encoder for an Edge TPU",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    unpack = actions.add_parser("unpack", help="write a bundle's files into a folder")
    unpack.add_argument("model", help="path of a bundle, or the name of a shipped model")
    unpack.add_argument("folder", type=Path, help="where they go; made if it is not there")
    unpack.set_defaults(run=_unpack)
    add = actions.add_parser("add-edgetpu", help="write a bundle that holds an encoder compiled for an Edge TPU, too")
    add.add_argument("model", help="path of a bundle, or the name of a shipped model")
    add.add_argument("encoder", type=Path, help="what edgetpu_compiler made of the bundle's encoder.tflite")
    add.add_argument("--out", type=Path, required=True, metavar="FILE", help="the new bundle, NAME.edgehar")
    add.set_defaults(run=_add_edge_tpu)


def _unpack(args: argparse.Namespace) -> int:
    from edgehar.files import whole_file
    from edgehar.model.bundle import ModelBundle, manifest_json

    bundle = ModelBundle.open(args.model)
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, content in {"manifest.json": manifest_json(bundle.manifest), **bundle.files}.items():
        # A name with folders in it could lead out of the folder.
        path = args.folder / Path(name).name
        with whole_file(path) as temporary:
            temporary.write_bytes(content)
        print(f"{path} ({len(content):,} bytes)")
    return EXIT_DONE


def _add_edge_tpu(args: argparse.Namespace) -> int:
    from edgehar.errors import ConfigError
    from edgehar.inspect.edgetpu import check_compiled
    from edgehar.model.bundle import EDGE_TPU_FILE, SUFFIX, ModelBundle, write_bundle

    if args.out.suffix != SUFFIX:
        raise ConfigError(f"{args.out}: a bundle's name ends in {SUFFIX}")
    bundle = ModelBundle.open(args.model)
    compiled = args.encoder.read_bytes()
    check_compiled(compiled, bundle.read("encoder.tflite"), str(args.encoder))
    write_bundle(args.out, bundle.manifest, {**bundle.files, EDGE_TPU_FILE: compiled})
    print(f"{args.out} ({args.out.stat().st_size:,} bytes); use it with --delegate edgetpu, or auto")
    return EXIT_DONE
