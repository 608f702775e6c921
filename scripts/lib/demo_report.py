"""Writes the demo's report: one self-contained HTML page.

    demo_report.py RESULTS.jsonl OUT.html --model-note TEXT [--title TEXT]

RESULTS.jsonl is what `hfwa detect --json --out DIR` printed; each file is named KIND-NAME and KIND "good" is the
only one without a defect. Prints the image AUROC, over all and by kind.
"""

import argparse
import base64
import collections
import html
import io
import itertools
import json
import pathlib

from PIL import Image, ImageOps

THUMBNAIL = 220
STAGES = ["decode", "preprocess", "queue", "encode", "match", "score", "render"]
CURVES = ["#222", "#e15759", "#4e79a7", "#59a14f", "#b07aa1", "#f28e2b"]  # all, then the kinds of defect
COLORS = ["#4e79a7", "#a0cbe8", "#bab0ac", "#f28e2b", "#e15759", "#76b7b2", "#59a14f"]


def kind_of(result):
    return pathlib.Path(result["file"]).name.split("-", 1)[0]


def auroc(good, bad):
    """Mann-Whitney; ties count half."""
    wins = sum((b > g) + 0.5 * (b == g) for b in bad for g in good)
    return wins / (len(good) * len(bad))


def roc(good, bad):
    points = [(0.0, 0.0)]
    for threshold in sorted(set(good + bad), reverse=True):
        points.append((sum(g >= threshold for g in good) / len(good), sum(b >= threshold for b in bad) / len(bad)))
    return points


def data_url(path):
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def roc_svg(curves):
    side, pad = 300, 34
    x = lambda v: pad + v * side
    y = lambda v: 8 + (1 - v) * side
    parts = [f'<svg viewBox="0 0 {side + pad + 10} {side + 44}" width="{side + pad + 10}" role="img" '
             f'aria-label="ROC curve"><rect x="{pad}" y="8" width="{side}" height="{side}" class="frame"/>'
             f'<path d="M{x(0)} {y(0)}L{x(1)} {y(1)}" class="chance"/>']
    for (name, points), color in zip(curves, itertools.cycle(CURVES)):
        path = "L".join(f"{x(a):.1f} {y(b):.1f}" for a, b in points)
        parts.append(f'<path d="M{path}" style="stroke:{color}" class="curve"><title>{html.escape(name)}</title></path>')
    for tick in (0, 0.5, 1):
        parts.append(f'<text x="{x(tick)}" y="{side + 24}" text-anchor="middle">{tick}</text>'
                     f'<text x="{pad - 6}" y="{y(tick) + 4}" text-anchor="end">{tick}</text>')
    parts.append(f'<text x="{x(0.5)}" y="{side + 40}" text-anchor="middle">good parts called anomalous</text></svg>')
    return "".join(parts)


def stage_means(results):
    return {s: sum(r.get("stages_ms", {}).get(s, 0) for r in results) / len(results) for s in STAGES}


def stage_rows(means):
    # The client keeps many images in flight, so the queue says more of the client than of the server.
    longest = max(*(means[s] for s in STAGES if s != "queue"), 1e-9)
    return "".join(
        f'<tr><td>{s}</td><td class="n">{means[s]:.1f}</td><td><div class="bar" '
        f'style="width:{min(150, 150 * means[s] / longest):.0f}px;background:{c}"></div></td></tr>'
        for s, c in zip(STAGES, COLORS))


def card(result):
    kind = kind_of(result)
    defect = kind != "good"
    called = result["verdict"] == "ANOMALOUS"
    right = "right" if defect == called else "wrong"
    threshold = f' / {result["threshold"]:.2f}' if "threshold" in result else ""
    shown = result.get("overlay") or result.get("heatmap")
    overlay = f'<img src="{data_url(shown)}" alt="heatmap">' if shown else ""
    return (f'<figure class="{right}"><div><img src="{data_url(result["file"])}" alt="part">{overlay}</div>'
            f'<figcaption><b>{result["score"]:.3f}</b>{threshold} {result["verdict"].lower()}'
            f'<span>{html.escape(kind)} · {html.escape(pathlib.Path(result["file"]).name)}</span></figcaption></figure>')


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>
body{{font:15px/1.45 system-ui,sans-serif;margin:24px auto;max-width:1240px;padding:0 16px;color:#222}}
h1{{font-size:24px;margin:0}} h2{{font-size:18px;margin:28px 0 8px}} .note{{color:#666}}
.top{{display:flex;flex-wrap:wrap;gap:28px;align-items:flex-start}} .top h2{{margin-top:0;font-size:16px}}
i{{display:inline-block;width:10px;height:10px;margin-right:6px}} td{{padding:1px 10px 1px 0}} .n{{text-align:right}}
.bar{{height:12px;border-radius:2px}} svg text{{font:11px system-ui;fill:#555}} .frame{{fill:none;stroke:#999}}
.chance{{stroke:#ccc;fill:none}} .curve{{fill:none;stroke-width:2}}
.grid{{display:grid;grid-template-columns:repeat(auto-fill,minmax(300px,1fr));gap:12px}}
figure{{margin:0;border:1px solid #ddd;border-left:6px solid #59a14f;border-radius:4px;padding:6px}}
figure.wrong{{border-left-color:#e15759}} figure div{{display:flex;gap:4px}} figure img{{width:50%;object-fit:contain}}
figcaption span{{display:block;color:#777;font-size:12px;overflow-wrap:anywhere}}
</style><h1>{title}</h1><p class="note">{note}</p>
<div class="top"><div>{roc}</div><div><h2>Image AUROC</h2><table>{aurocs}</table></div>
<div><h2>Verdicts at the default threshold</h2><table>{verdicts}</table></div>
<div><h2>Mean time of a stage, ms</h2><table>{stages}</table></div></div>
<h2>Every image, highest score first</h2><p class="note">Left the part, right its anomaly map laid over it. Bar at the
left: green, the verdict is right; red, it is wrong. Score / threshold.</p><div class="grid">{cards}</div></html>
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--model-note", default="")
    parser.add_argument("--title", default="hfwa: parts judged by a few good references")
    args = parser.parse_args()

    lines = [json.loads(line) for line in args.results.read_text().splitlines() if line.strip()]
    failed = [r for r in lines if "error" in r]
    results = [r for r in lines if "error" not in r]
    scores = collections.defaultdict(list)
    for result in results:
        scores[kind_of(result)].append(result["score"])
    good = scores.pop("good")
    defects = [s for values in scores.values() for s in values]
    rows = [("all", auroc(good, defects))] + [(kind, auroc(good, v)) for kind, v in sorted(scores.items())]
    curves = [("all", roc(good, defects))] + [(kind, roc(good, v)) for kind, v in sorted(scores.items())]
    called = collections.Counter((kind_of(r) != "good", r["verdict"] == "ANOMALOUS") for r in results)

    means = stage_means(results)

    args.out.write_text(PAGE.format(
        title=html.escape(args.title), note=html.escape(args.model_note), roc=roc_svg(curves),
        aurocs="".join(f'<tr><td><i style="background:{c}"></i>{html.escape(k)}</td><td class="n">{100 * v:.1f} %</td></tr>'
                       for (k, v), c in zip(rows, itertools.cycle(CURVES))),
        verdicts=f'<tr><td>defects found</td><td class="n">{called[True, True]} of {len(defects)}</td></tr>'
                 f'<tr><td>good parts passed</td><td class="n">{called[False, False]} of {len(good)}</td></tr>'
                 + (f'<tr><td>failed</td><td class="n">{len(failed)}</td></tr>' if failed else ""),
        stages=stage_rows(means),
        cards="".join(card(r) for r in sorted(results, key=lambda r: -r["score"]))))
    print("Mean ms: " + ", ".join(f"{stage} {means[stage]:.1f}" for stage in STAGES))
    print("AUROC " + ", ".join(f"{kind} {100 * value:.1f} %" for kind, value in rows))


if __name__ == "__main__":
    main()
