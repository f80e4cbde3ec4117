"""The table of commands, and the original's command line without a command: `passerby --pipeline ... --input ...`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .._version import __version__
from ..errors import ArgumentError
from . import config, dataset, doctor, labels, models, module, options, output, predict, serve, synthesise, train

app = typer.Typer(
    cls=options.group_with_examples(
        "passerby predict street.jpg --save-path output",
        "passerby --pipeline pedestrian_attribute_recognition --input street.jpg --save_path output",
        "passerby --serve --pipeline pedestrian_attribute_recognition --port 8080",
        "passerby --get_pipeline_config pedestrian_attribute_recognition --save_path my_path",
    ),
    # plain help and plain errors: no import of rich, no colour codes, no boxes around one-line messages
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command(
    cls=options.with_examples(
        "passerby predict street.jpg",
        "passerby predict photos/ --jsonl --save-path output > results.jsonl",
        "passerby predict street.jpg --cls-threshold default=0.7,hat=0.4",
    )
)(predict.predict)
app.command(
    cls=options.with_examples(
        "passerby serve",
        "passerby serve --host 0.0.0.0 --api-key-file keys.txt --tls-cert cert.pem --tls-key key.pem",
    )
)(serve.serve)
app.add_typer(dataset.app, name="dataset")
app.command(
    cls=options.with_examples(
        "passerby train my_data --output output --epochs 20",
        "passerby train my_boxes -c PP-YOLOE-S_human.yaml -o Train.early_stopping=5",
    )
)(train.train)
app.command(
    cls=options.with_examples(
        "passerby evaluate output/best_model/best_model.safetensors my_data",
        "passerby evaluate passerby-attributes my_data --group-by camera --json",
    )
)(train.evaluate)
app.command(
    cls=options.with_examples(
        "passerby export output/best_model/best_model.safetensors --output my_model",
        "passerby export best_model.safetensors --dataset my_data --thresholds tuned --output my_model",
    )
)(train.export)
app.command(
    cls=options.with_examples(
        "passerby module -c PP-LCNet_x1_0_pedestrian_attribute.yaml -o Global.mode=train -o Global.dataset_dir=my_data",
        "passerby module -c my.yaml -o Global.mode=evaluate -o Evaluate.weight_path=my.onnx",
    )
)(module.module)
app.command(
    cls=options.with_examples(
        "passerby synthesise rendered --count 1000 --seed 1 --assets makehuman --jobs 2",
        "passerby synthesise rendered_streets --kind streets --count 200 --backgrounds photos_without_people",
    )
)(synthesise.synthesise)
app.add_typer(models.app, name="models")
app.add_typer(config.app, name="config")
app.command(cls=options.with_examples("passerby labels", "passerby labels my_model.onnx --json"))(labels.labels)
app.command(cls=options.with_examples("passerby doctor", "passerby doctor --json"))(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        output.put(f"passerby {__version__}\n")
        raise typer.Exit(0)


@app.callback(invoke_without_command=True)
def root(
    ctx: typer.Context,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", metavar="NAME|FILE", help="Built-in pipeline or its YAML file.")
    ] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="INPUT", help="Picture, folder, URL or pattern.")
    ] = None,
    save_path: options.SavePath = None,
    device: options.Device = None,
    use_hpip: options.UseHpip = False,
    hpi_config: options.HpiConfig = None,
    det_threshold: options.DetThreshold = None,
    cls_threshold: options.ClsThreshold = None,
    ca_file: options.CaFile = None,
    get_pipeline_config: Annotated[
        str | None,
        typer.Option(
            "--get-pipeline-config",
            "--get_pipeline_config",
            metavar="NAME",
            help="Write that pipeline's YAML into --save_path, every key explained.",
        ),
    ] = None,
    serve_it: Annotated[
        bool, typer.Option("--serve", help="Answer requests over HTTP, as `passerby serve` does.")
    ] = False,
    host: serve.Host = None,
    port: serve.Port = None,
    api_key: serve.ApiKey = None,
    api_key_file: serve.ApiKeyFile = None,
    insecure: serve.Insecure = False,
    as_json: options.Json = False,
    as_lines: Annotated[bool, typer.Option("--jsonl", help="One JSON object a line, as results come.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="One line a pedestrian, all probabilities.")] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Finds every pedestrian in a picture and describes them, offline.

    The flags below are those of PaddleX's command line and print a result as it does; `passerby predict` is the same
    with more choices.
    """
    flags: list[Any] = [pipeline, inputs, save_path, device, use_hpip, hpi_config, det_threshold, cls_threshold]
    flags += [ca_file, get_pipeline_config, as_json, as_lines, as_csv, quiet, verbose]
    for_serve = [host, port is not None, api_key, api_key_file, insecure]
    flags += [serve_it, *for_serve]
    if ctx.invoked_subcommand is not None:
        if any(flags):
            hint = f"write them after it: passerby {ctx.invoked_subcommand} ..."
            raise ArgumentError("bad_argument", f"flags stand before the command {ctx.invoked_subcommand}", hint=hint)
        return
    if not any(flags):
        output.put(ctx.get_help() + "\n")
        raise typer.Exit(2)
    if get_pipeline_config is not None:
        config.write_config(get_pipeline_config, save_path or ".", quiet=quiet)
        return
    if serve_it:
        if any([inputs, save_path, det_threshold, cls_threshold, as_json, as_lines, as_csv]):
            hint = "requests name pictures and thresholds; see `passerby serve --help`"
            raise ArgumentError("bad_argument", "a flag for pictures does not go with --serve", hint=hint)
        given = {
            "pipeline": pipeline,
            "device": device,
            "use_hpip": use_hpip,
            "hpi_config": options.mapping(hpi_config, option="--hpi-config"),
            "host": host,
            "port": port,
            "api_keys": serve.keys(api_key, api_key_file),
            "insecure": insecure,
            "ca_file": options.ca_file(ca_file),
            "quiet": quiet,
        }
        raise typer.Exit(serve.run(given, verbose=verbose))
    if any(for_serve):
        raise ArgumentError("bad_argument", "a flag of --serve stands without it", hint="write passerby --serve ...")
    request = predict.Request(
        inputs=inputs or [],
        format=output.chosen(as_json=as_json, as_lines=as_lines, as_csv=as_csv) or output.PaddleLines,
        pipeline=pipeline,
        save_path=save_path,
        device=device,
        use_hpip=use_hpip,
        hpi_config=hpi_config,
        det_threshold=det_threshold,
        cls_threshold=cls_threshold,
        ca_file=ca_file,
        quiet=quiet,
        verbose=verbose,
    )
    raise typer.Exit(predict.run(request))
